"""InfiniBand cards and ports as the probes read them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Facts


_CARD_FIELDS = 3
_PORT_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """One InfiniBand card (physical function)."""

    name: str
    """mlx5_0"""
    firmware: str | None
    board: str | None
    """Cards of one kind have one."""


@dataclass(frozen=True, slots=True)
class Port:
    """One InfiniBand port."""

    name: str
    """mlx5_0/1"""
    state: str
    """ACTIVE, INIT, ARMED, DOWN."""
    physical: str | None
    """LinkUp, Polling, Disabled."""
    rate: float | None
    """Gb/s; what a port that is down shows means nothing."""
    board: str | None

    @property
    def is_up(self) -> bool:
        """Whether traffic can pass."""
        return self.state == "ACTIVE"

    @property
    def dotted(self) -> str:
        """mlx5_0.1, as names of readings have it."""
        return self.name.replace("/", ".")


def cards(facts: Facts) -> tuple[Card, ...]:
    """Cards with an InfiniBand port, without those that only manage NVSwitches."""
    bridges = facts.texts("ib.bridges") or ()
    return tuple(
        Card(str(value[0]), _text(value[1]), _text(value[2]))
        for value in facts.values("ib.device")
        if isinstance(value, tuple) and len(value) >= _CARD_FIELDS and value[0] not in bridges
    )


def ports(facts: Facts) -> tuple[Port, ...]:
    """Ports whose link layer is InfiniBand, without those that only manage NVSwitches."""
    boards = {card.name: card.board for card in cards(facts)}
    bridges = facts.texts("ib.bridges") or ()
    found = []
    for value in facts.values("ib.port"):
        if not isinstance(value, tuple) or len(value) != _PORT_FIELDS or value[1] != "InfiniBand":
            continue
        name, _, state, physical, rate = value
        card = str(name).partition("/")[0]
        if card not in bridges:
            speed = float(rate) if isinstance(rate, (int, float)) else None
            found.append(Port(str(name), str(state), _text(physical), speed, boards.get(card)))
    return tuple(found)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
