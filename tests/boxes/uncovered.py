"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # cuda
    "p2p-consumer-gpu": "These boards have no peer access by design: mgpu.p2p_status says so and passes.",
    "host-pinned-limit-512g": "It depends on the size of one call of a program.",
    "watchdog-kernel-timeout": "Every desktop has the limit, and only a program with a long kernel meets it.",
    "fork-cuda": "It happens inside of one program and leaves nothing on the machine.",
}
