"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {}
