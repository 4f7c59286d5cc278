"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # fabric
    "nccl-version-mismatch-ranks": "It shows only between several machines, and one is looked at.",
    # gpu
    "sw-power-cap": "The software power limit is normal under full load; gpu.throttle_now mentions it.",
    "vgpu-driver-guest-host-mismatch": "NVML, when it starts at all, does not tell the release of the vGPU host.",
    "watchdog-kernel-timeout": "A screen on a GPU is healthy; only the program that is ended gets error 702.",
    # system
    "wsl-libcuda-not-symlink": "It is a harmless complaint of ldconfig about every WSL, and nothing is to be done.",
    "wsl-missing-features": "Every WSL lacks these features; which of them a program calls is known only when it does.",
    "host-pinned-limit-512g": "It takes one call that registers more than 512 GiB, and no file foretells it.",
}
