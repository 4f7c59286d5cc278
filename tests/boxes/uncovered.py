"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # gpu
    "sw-power-cap": "The software power limit is normal under full load; gpu.throttle_now mentions it.",
    "vgpu-driver-guest-host-mismatch": "NVML, when it starts at all, does not tell the release of the vGPU host.",
    "watchdog-kernel-timeout": "A screen on a GPU is healthy; only the program that is ended gets error 702.",
    # containers
    "container-group-id-warning": "The line of `groups` is cosmetic; nothing is wrong with such a container.",
}
