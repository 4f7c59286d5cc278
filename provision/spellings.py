"""How kernels and tools spell what a machine is made of (PURE)."""

from __future__ import annotations

import re


# 00000000:07:00.0 (NVML)   0000:07:00.0 (sysfs)   0:7:0.0
def normal_bus_id(text: str) -> str | None:
    """Lower-case domain:bus:device.function with a domain of at least four digits; None for anything else."""
    match = re.fullmatch(r"(?:([0-9a-fA-F]{1,8}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])", text.strip())
    if not match:
        return None
    domain, bus, device = (int(part or "0", 16) for part in match.groups()[:3])
    return f"{domain:04x}:{bus:02x}:{device:02x}.{match[4]}"


# 5.15.153.1-microsoft-standard-WSL2          (WSL 2)
# 4.4.0-19041-Microsoft                       (WSL 1)
def is_wsl_kernel(text: str) -> bool:
    """Whether a kernel release or version text is that of Windows Subsystem for Linux."""
    return bool(re.search(r"-microsoft\b|\bwsl2?\b", text, re.IGNORECASE))
