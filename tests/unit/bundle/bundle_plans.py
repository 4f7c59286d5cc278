"""Plans of stand-in builds."""

from __future__ import annotations

from install_orders import build

from provision.records import MatrixIdentity, Plan, Request, Resolution
from tests.bench.matrix import shipped


def plan_of(*builds) -> Plan:
    """A plan of these candidates, as a document would give it."""
    found = builds or (build(),)
    matrix = shipped()
    is_cpu = found[0].kind == "cpu"
    return Plan(
        build=found[0],
        resolution=Resolution(candidates=tuple(found), rejections=()),
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        request=Request(cpu=is_cpu),
    )
