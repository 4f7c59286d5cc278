"""Actions as commands for a root shell that a person can read and run (PURE)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .steps import FetchKey, Packages, RemoveFile, Run, WriteFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .steps import Action, Manager, Verb

#: What the package managers are asked, without names. None is ever asked to leave out the check of a signature. What is
#: fetched may exclude what is installed: that is allowed to leave in the reckoning, and stays.
PACKAGE_COMMANDS: dict[Manager, dict[Verb, tuple[str, ...]]] = {
    "apt": {
        "refresh": ("apt-get", "update"),
        "fetch": ("apt-get", "install", "--yes", "--download-only"),
        "install": ("apt-get", "install", "--yes"),
        "remove": ("apt-get", "remove", "--yes"),
        "hold": ("apt-mark", "hold"),
        "unhold": ("apt-mark", "unhold"),
    },
    "dnf": {
        "refresh": ("dnf", "-y", "makecache"),
        "fetch": ("dnf", "-y", "install", "--downloadonly", "--allowerasing"),
        "install": ("dnf", "-y", "install"),
        "remove": ("dnf", "-y", "remove"),
        "hold": ("dnf", "-y", "versionlock", "add"),
        "unhold": ("dnf", "-y", "versionlock", "delete"),
    },
    "zypper": {
        "refresh": ("zypper", "--non-interactive", "refresh"),
        "fetch": (
            *("zypper", "--non-interactive", "install", "--auto-agree-with-licenses"),
            *("--download-only", "--force-resolution"),
        ),
        "install": ("zypper", "--non-interactive", "install", "--auto-agree-with-licenses"),
        "remove": ("zypper", "--non-interactive", "remove"),
        "hold": ("zypper", "--non-interactive", "addlock"),
        "unhold": ("zypper", "--non-interactive", "removelock"),
    },
}

SHOW_KEYS = "gpg --batch --show-keys --with-colons"
PRIMARY_FINGERPRINTS = """awk -F: '$1 == "pub" { next_is = 1 } $1 == "fpr" && next_is { print $10; next_is = 0 }'"""
"""Shell words that print the fingerprint of every primary key, and of no subkey."""

_RUNNING = "{kernel}"


def packages_argv(action: Packages) -> tuple[str, ...]:
    """The command of a request to a package manager."""
    return (*PACKAGE_COMMANDS[action.manager][action.verb], *package_words(action))


def package_words(action: Packages) -> tuple[str, ...]:
    """What stands behind the verb: names that come, and those that go in the same transaction."""
    going = [name for name in action.without if "*" not in name]
    if action.manager == "dnf":  # which has no word for one that goes
        return (*(("--allowerasing",) if going else ()), *action.names)
    return (*action.names, *(f"{name}-" if action.manager == "apt" else f"!{name}" for name in going))


def quoted(word: str) -> str:
    """One word for a shell; the running kernel is asked of uname where it was not known."""
    if _RUNNING in word:
        return '"' + word.replace(_RUNNING, "$(uname -r)") + '"'
    return shlex.quote(word)


def line(argv: Iterable[str]) -> str:
    """A command line."""
    return " ".join(map(quoted, argv))


def command_of(action: Action) -> str:
    """One action as a command that does the same in a root shell."""
    if isinstance(action, Packages):
        return line(packages_argv(action))
    if isinstance(action, WriteFile):
        *lines, last = action.text.split("\n")
        words = [shlex.quote(text) for text in (lines if last == "" else [*lines, last])]
        return f"printf '%s\\n' {' '.join(words)} > {shlex.quote(action.path)}"
    if isinstance(action, RemoveFile):
        return line(("rm", "-f", action.path))
    if isinstance(action, FetchKey):
        path = shlex.quote(action.path)
        # A file with another key, or with a second one beside it, is not put in its place.
        key = f'key=$(mktemp) && curl -fsSL {shlex.quote(action.url)} -o "$key"'
        check = f'test "$({SHOW_KEYS} "$key" | {PRIMARY_FINGERPRINTS})" = {action.fingerprint}'
        put = (
            f'gpg --batch --yes --dearmor -o {path} "$key"'
            if action.path.endswith(".gpg")
            else f'install -D -m 644 "$key" {path}'
        )
        return f"{key} && {check} && {put}"
    if isinstance(action, Run):
        return line(action.argv)
    return "reboot"


def commands_of(actions: Iterable[Action]) -> str:
    """Several actions as one line that ends at the first failure."""
    return " && ".join(map(command_of, actions))
