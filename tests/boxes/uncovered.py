"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # fabric
    "nccl-version-mismatch-ranks": "It shows only between several machines, and one is looked at.",
}
