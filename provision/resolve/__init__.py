"""From machine, request and matrix to the build that fits. Pure: no clock, environment, disk, network or chance."""

from .candidates import Catalogue
from .choose import preferred_by, resolve
from .rules import RULES, rule_id

__all__ = ("RULES", "Catalogue", "preferred_by", "resolve", "rule_id")
