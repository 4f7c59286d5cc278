"""What was looked at: every file, folder, command and answer, present, absent and unreadable told apart.

Detection and the checks reach the machine only through `Surroundings`, and every look of it passes here. A `Recorder`
remembers what was seen, a `Replay` answers from what another run remembered, so a snapshot gives the same findings
anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

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
# The whole word is taken at once: a pattern that looks for its @ would go over a long line again and again.
_ADDRESS = re.compile(r"://([^\s\"'<>]+)")
# HTTPS_PROXY=..., token: ..., "auth": "..."   in configuration files and on kernel command lines
_SECRET_WORDS = re.compile(
    r"((?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|credentials?"
    r"|authorization|cookie|signature)[\"']?\s{0,8}[:=]\s{0,8}(?:(?:basic|bearer|digest|negotiate|token)\s{1,8})?)"
    r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s\"',}&]+)|(\"auth\"\s{0,8}:\s{0,8})(\"[^\"\n]*\")",
    re.IGNORECASE,
)
# Keys that are known by their first letters: AWS, GitHub, GitLab, Hugging Face, Slack, NVIDIA's NGC, signed JSON.
_KEYS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{12,}|(?:gh[opsur]|github_pat|glpat|hf|xox[abprs]|nvapi|sk)[_-][\w-]{16,}"
    r"|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?)"
)


_SIGNS: Final = (
    *("pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie", "signature", '"auth"'),
    *("akia", "asia", "gho", "ghp", "ghs", "ghu", "ghr", "github", "glpat", "hf_", "hf-", "xox", "nvapi", "sk_", "sk-"),
    "eyj",
)
"""One of these is in every text that the patterns above find something in; looking for them is far faster."""


def scrubbed(text: str) -> str:
    """The text without credentials in addresses, keys of a known form and values that name themselves secret."""
    if "://" in text:
        text = _ADDRESS.sub(_without_credentials, text)
    if text.isascii():  # elsewhere upper and lower case are not a matter of single letters
        lowered = text.lower()
        if not any(sign in lowered for sign in _SIGNS):
            return text
    return _KEYS.sub("***", _SECRET_WORDS.sub(lambda match: f"{match[1] or match[3]}***", text))


def _without_credentials(match: re.Match[str]) -> str:
    host, slash, rest = match[1].partition("/")
    user, at, after = host.rpartition("@")
    if at:
        return f"://***@{after}{slash}{rest}"
    # me:pass/word@mirror.example: what stands behind the colon is no port
    word, colon, port = host.partition(":")
    if "@" in rest and colon and not word.startswith("[") and not port.isdecimal():
        return f"://***@{rest.rpartition('@')[2]}"
    return match[0]


def scrubbed_value(value: Any) -> Any:
    """A JSON value with every text in it scrubbed."""
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {name: scrubbed_value(one) for name, one in value.items()}
    return [scrubbed_value(one) for one in value] if isinstance(value, list | tuple) else value


def lines_with(pattern: str) -> Callable[[str], str]:
    """A filter that leaves the lines of a text in which the pattern is found."""
    wanted = re.compile(pattern)
    return lambda text: "\n".join([line for line in text.splitlines() if wanted.search(line)] + [""])
