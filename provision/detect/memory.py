"""What was looked at: every file, folder, command and answer, present, absent and unreadable told apart.

Detection and the checks reach the machine only through `Surroundings`, and every look of it passes here. A `Recorder`
remembers what was seen, a `Replay` answers from what another run remembered, so a snapshot gives the same findings
anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["text", "names", "exists", "link", "status", "access", "space", "command", "answer", "variable"]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw."""

    state: Literal["present", "absent", "unreadable"]
    value: Any = None
    """What was there, as JSON can hold it; None unless present."""
    why: str | None = None
    """Why there is no value; None when present."""

    @property
    def is_present(self) -> bool:
        """Whether something was there and could be read."""
        return self.state == "present"


class Memory(Protocol):
    """Something that stands between a look and the machine."""

    def look(self, kind: Kind, key: str, do: Callable[[], Look]) -> Look:
        """The outcome of `do`, or what is remembered of it."""


class Recorder:
    """Looks once and remembers: a file that two probes want is read once."""

    def __init__(self) -> None:
        self.looks: dict[tuple[Kind, str], Look] = {}

    def look(self, kind: Kind, key: str, do: Callable[[], Look]) -> Look:
        """What is remembered, else what `do` sees now."""
        found = self.looks.get((kind, key))
        if found is None:
            found = self.looks[kind, key] = do()
        return found


class Replay:
    """Answers from a snapshot and never touches the machine."""

    def __init__(self, looks: Mapping[tuple[Kind, str], Look], *, otherwise: Look | None = None) -> None:
        self._looks = looks
        self._otherwise = otherwise or Look("unreadable", why="it is not in the snapshot")

    def look(self, kind: Kind, key: str, do: Callable[[], Look]) -> Look:  # noqa: ARG002 -- the machine is left alone
        """What the snapshot holds; something that it lacks can't be read."""
        return self._looks.get((kind, key), self._otherwise)


# https://user:password@mirror.example/simple -> https://***@mirror.example/simple
_CREDENTIALS = re.compile(r"(?<=://)[^/\s\"'@]{1,512}@")
# HTTPS_PROXY=..., token: ..., "auth": "..."   in configuration files and on kernel command lines
_SECRET_WORDS = re.compile(
    r"((?:[\w.-]*(?:password|passwd|secret|token|api[_-]?key|credential|authorization))[\"']?\s*[:=]\s*)"
    r"(\"[^\"]*\"|'[^']*'|[^\s\"',}]+)|(\"auth\"\s*:\s*)(\"[^\"]*\")",
    re.IGNORECASE,
)
_SECRETS = (
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "credential",
    "authorization",
    '"auth"',
)
"""One of these is in every text that the pattern above finds something in; looking for it is fifty times faster."""


def scrubbed(text: str) -> str:
    """The text without credentials in addresses and without values that name themselves secret."""
    if "=" not in text and ":" not in text:  # most files of the kernel; neither form below is possible
        return text
    if "://" in text:
        text = _CREDENTIALS.sub("***@", text)
    if text.isascii():  # elsewhere upper and lower case are not a matter of single letters
        lowered = text.lower()
        if not any(word in lowered for word in _SECRETS):
            return text
    return _SECRET_WORDS.sub(lambda match: f"{match[1] or match[3]}***", text)
