"""Which NVIDIA driver a machine should get, and the steps of its distribution.

The package itself imports nothing: a plan of wheels asks it for a branch alone, and its start is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import DriverPlan, plan_driver
    from .wish import DriverWish

__all__ = ["DriverPlan", "DriverWish", "plan_driver"]


def __getattr__(name: str) -> Any:
    if name == "DriverWish":
        from .wish import DriverWish

        return DriverWish
    if name in __all__:
        from . import plan

        return getattr(plan, name)
    raise AttributeError(name)
