"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # system
    "wsl-libcuda-not-symlink": "It is a harmless complaint of ldconfig about every WSL, and nothing is to be done.",
    "wsl-missing-features": "Every WSL lacks these features; which of them a program calls is known only when it does.",
    "host-pinned-limit-512g": "It takes one call that registers more than 512 GiB, and no file foretells it.",
}
