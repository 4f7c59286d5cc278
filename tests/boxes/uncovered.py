"""Known failures without a case, each with the reason in one sentence."""

UNCOVERED: dict[str, str] = {
    # cuda
    "p2p-consumer-gpu": "These boards have no peer access by design: mgpu.p2p_status says so and passes.",
    "host-pinned-limit-512g": "It depends on the size of one call of a program.",
    "fork-cuda": "It happens inside of one program and leaves nothing on the machine.",
    # kernel log, PCI and boards
    "suspend-resume-uvm": "The log shows that the machine slept, as healthy laptops do; CUDA fails later.",
    # driver
    "runfile-module-in-use": "NVIDIA's installer says it while it runs and changes nothing: the box is as it was.",
    # python_packages
    "wheel-variant-not-published": "It is an error of an installer: no file names the build that was refused.",
    "torch-advice-names-unpublished-build": "It is a sentence that torch prints; the environment holds no trace of it.",
    "uv-extra-index-priority": "What was chosen is an ordinary build; wheel.arch_list judges whether it fits.",
    "conda-channel-ended": "The environment that is there works; only asking the channel for a newer torch fails.",
    "torch-load-weights-only": "It depends on what a program loads, and any torch from 2.6 on does it.",
    "cuda-toolkit-mismatch": "A toolkit of another CUDA is usual and does no harm until somebody builds an extension.",
    "ninja-missing": "It is needed by programs that build extensions, and nothing says that one will.",
    "host-compiler-too-new": "It shows when nvcc compiles; otherwise compilers and toolkits of any age get along.",
    # reading what tools print
    "nvidia-smi-header-renamed-r610": "A trap for parsers, not a fault of a machine: both headings are read.",
    "nvml-functions-removed-in-cuda14": "Nothing is wrong with the machine: such a function is read as not supported.",
    # fabric
    "nccl-version-mismatch-ranks": "It shows only between several machines, and one is looked at.",
    # gpu
    "sw-power-cap": "The software power limit is normal under full load; gpu.throttle_now mentions it.",
    "vgpu-driver-guest-host-mismatch": "NVML, when it starts at all, does not tell the release of the vGPU host.",
    "watchdog-kernel-timeout": "A screen on a GPU is healthy; only the program that is ended gets error 702.",
    # containers
    "container-group-id-warning": "The line of `groups` is cosmetic; nothing is wrong with such a container.",
    # system
    "wsl-libcuda-not-symlink": "It is a harmless complaint of ldconfig about every WSL, and nothing is to be done.",
    "wsl-missing-features": "Every WSL lacks these features; which of them a program calls is known only when it does.",
}
