"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # driver
    "runfile-module-in-use": "NVIDIA's installer says it while it runs and changes nothing: the box is as it was.",
    "suspend-resume-uvm": "Only a CUDA call shows it, with an error that names no suspend; cuda.init reports the call.",
    # fabric
    "nccl-version-mismatch-ranks": "It shows only between several machines, and one is looked at.",
    # gpu
    "sw-power-cap": "The software power limit is normal under full load; gpu.throttle_now mentions it.",
    "vgpu-driver-guest-host-mismatch": "NVML, when it starts at all, does not tell the release of the vGPU host.",
    "watchdog-kernel-timeout": "A screen on a GPU is healthy; only the program that is ended gets error 702.",
}
