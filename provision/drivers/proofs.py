"""EDGE: the questions of a step to the machine, and what was answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..plain_text import plain
from ..records import Evidence

if TYPE_CHECKING:
    from .hand import Hand
    from .steps import Proof


def answers(hand: Hand, proof: Proof) -> bool:
    """Whether the answer to a proof is yes; no answer is no."""
    said = hand.ask(proof.argv)
    if proof.matches is None:
        return said.ok
    return not said.failure and not said.timed_out and re.search(proof.matches, said.stdout) is not None


def evidence_of(hand: Hand, proof: Proof) -> Evidence:
    """What was answered to a proof, beside what would be a yes."""
    said = hand.ask(proof.argv)
    if said.failure:
        found = said.failure
    elif said.timed_out:
        found = f"no answer within {said.duration_s:.0f} s"
    else:
        found = plain(said.stdout or said.stderr) or f"status {said.returncode}"
    return Evidence(proof.means, found, source=" ".join(proof.argv), needs=proof.matches or "status 0")
