"""Results of a box on which several things are wrong, one of them the cause of others."""

from provision.records import CheckResult, Evidence, Suppression

CAUSE = "driver.kmd_umd_match"
FOLDED = ("driver.nvml_init", "pci.count_vs_nvml")

HEALTHY = (
    CheckResult("pci.gpu_present", "pci", "pass", "2 NVIDIA GPUs are on the bus.", duration_s=0.25),
    CheckResult("driver.uvm", "driver", "pass", "The module is there.", duration_s=0.5),
)
MISMATCH = CheckResult(
    CAUSE,
    "driver",
    "fail",
    "The kernel module is of release 535.104.05 and the user libraries are of release 550.54.14.",
    (
        Evidence("driver.module", "535.104.05", source="/sys/module/nvidia/version", needs="550.54.14"),
        Evidence("nvml.init", "error 18\nDriver/library version mismatch", source="nvml"),
    ),
    ("systemctl stop nvidia-persistenced",),
    ("reboot",),
    FOLDED,
)
WARNED = CheckResult(
    "sys.time",
    "sys",
    "warn",
    "The clock is not synchronised; logs of several machines will not fit each other when it drifts.",
    (Evidence("offset", 12.5, "s"), Evidence("servers", ())),
    ("timedatectl set-ntp true",),
)
SUPPRESSED = CheckResult(
    "gpu.ecc_mode",
    "gpu",
    "suppressed",
    "ECC is off on GPU 3.",
    (Evidence("gpu.3.ecc", "off"),),
    suppression=Suppression("fail", "2027-01-31", "benchmarks of this quarter", "ops", "/etc/s.yaml:1"),
)
SICK = (
    *HEALTHY,
    CheckResult("pci.count_vs_nvml", "pci", "fail", "The driver answers for 0 of 2 GPUs."),
    MISMATCH,
    CheckResult("driver.nvml_init", "driver", "fail", "NVML says 18."),
    WARNED,
    CheckResult("gpu.rows", "gpu", "timed-out", "The question took longer than 5 s."),
    SUPPRESSED,
    CheckResult("ib.ports", "ib", "skip", "No InfiniBand adapter is here."),
    CheckResult("kernel.xid", "kernel", "unknown", "Only root may read the kernel log."),
)
