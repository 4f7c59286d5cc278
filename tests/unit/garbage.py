"""Odd things that files, programs and snapshots may hold, drawn from a seed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from provision.checks import Context, Facts, run_checks
from provision.detect.examine import gather
from provision.detect.memory import Look, Replay
from provision.documents.codec import encode
from provision.documents.envelope import dumps
from provision.examined import load_default_matrix
from provision.plain_text import clean_text
from tests.boxes import NOW, _Written

if TYPE_CHECKING:
    import random

ESC = "\x1b[31m\x1b]0;owned\x07"
TEXTS = (
    "",
    "\n",
    "\0\0\0",
    "\ufffd" * 40,
    ESC,
    f"{ESC}0x10de\u202e\n",
    "-1\n",
    "-9223372036854775809",
    "9" * 400,
    "1e999",
    "nan",
    "0x",
    "²³",
    "٣",
    "{}",
    "[]",
    '{"a": {"b": null}}',
    "null",
    "a=b\nc",
    "=\n=\n=",
    ":\n::\n",
    "x" * 4000,
    "\t".join("abcdefgh"),
    "0 0 0 0 0 0 0 0\n" * 3,
    "<?xml version='1.0'?><a>" + "<b>" * 50,
    "0-99999999999999",
    "0-4294967295",
    "\r\n\r\n",
    "max max max",
    "GPU-",
    "\ud800",
)
VALUES = (None, True, 0, -1, 10**30, 1e308, "", ESC, [], [[]], [None], {}, {"a": 1}, [1, 2, 3], [["a"] * 9], "9" * 30)


def mixed(text: str, dice: random.Random) -> str:
    """The text with something wrong in it, or something else instead."""
    way = dice.randrange(8)
    if way < 3 or not text:
        return dice.choice(TEXTS)
    place = dice.randrange(len(text) + 1)
    if way == 3:
        return text[:place]
    if way == 4:
        return text[:place] + dice.choice(TEXTS) + text[place:]
    if way == 5:
        return re.sub(r"\d+", lambda match: dice.choice((match.group(), "-1", "9" * 25, "0", "x", "²")), text)
    if way == 6:
        words = text.split(" ")
        dice.shuffle(words)
        return " ".join(words)
    return text.replace("\n", dice.choice(("", "\n\n", "\r", "\0", f"{ESC}\n")))


def spoilt(look: Look, kind: str, dice: random.Random) -> Look:
    """Another look of that kind."""
    if dice.random() < 0.1:
        return dice.choice((Look("absent", why="it is not there"), Look("unreadable", why=f"{ESC}denied")))
    if kind in ("text", "link"):
        return Look("present", mixed(look.value or "", dice))
    if kind == "names":
        names = list(look.value or [])
        dice.shuffle(names)
        return Look("present", [*names[: dice.randrange(len(names) + 1)], mixed("nvidia0", dice)])
    if kind in ("exists", "access"):
        return Look("present", dice.random() < 0.5)
    if kind in ("space", "status"):
        numbers = dict.fromkeys(look.value or {}, dice.choice((0, -1, 2**63)))
        return Look("present", numbers) if look.value else look
    if kind == "command":
        value = look.value or {
            "returncode": 0,
            "stdout": "",
            "stderr": "",
            "duration_s": 0.0,
            "timed_out": False,
            "abandoned": False,
            "truncated": False,
            "failure": None,
        }
        is_over = dice.random() < 0.2
        return Look(
            "present",
            {
                **value,
                "returncode": None if is_over else dice.choice((0, 0, 1, 127, -9, -11)),
                "stdout": mixed(value["stdout"], dice),
                "stderr": mixed(value["stderr"] or "error", dice),
                "timed_out": is_over,
                "failure": dice.choice((None, None, None, f"{ESC}No such file")),
            },
        )
    return look


def whole_of(box, level="standard"):
    """Every look that is taken at the box, by kind and name."""
    around = box.around(level)
    around = replace(around, memory=_Written(around.memory))
    gather(around, level)
    return around, around.memory.looks


def judged(around, level="standard"):
    """Results of all checks, and every text that a person or a program gets of it."""
    machine = gather(around, level)
    results = run_checks(Facts(machine, Context(now=NOW, matrix=load_default_matrix)))
    return machine, results


def complaints(machine, results):
    """What must never be: broken probes, crashed checks, control characters in a document."""
    found = [f"{one.name}: {one.failure}" for one in machine.readings if one.name.startswith("probe.")]
    found += [f"{one.id}: {one.happened}" for one in results if one.status == "crashed"]
    try:
        dumps(encode(machine))
        dumps(encode(results))
    except (ValueError, TypeError) as err:
        found.append(f"no document: {err}")
    return found


def controls(text: str) -> list[str]:
    """Control characters in a text for a terminal, beside line ends."""
    return sorted(set(text) - set(clean_text(text)))


def replaying(around, looks):
    """The same machine with these looks."""
    return replace(around, memory=Replay(looks, otherwise=Look("absent", why="it is not there")))
