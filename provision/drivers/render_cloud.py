"""A driver plan as user data for cloud-init: the script as a file, its run, and the restart after it (PURE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .render_sh import render_sh
from .steps import Reboot
from .unattended import require_unattended

if TYPE_CHECKING:
    from .plan import DriverPlan

_SCRIPT = "/var/lib/gpusetup/driver.sh"
_DONE = "/run/gpusetup-driver-done"


def render_cloud_init(plan: DriverPlan) -> str:
    """The `#cloud-config`; UsageError where a step asks a person."""
    require_unattended(plan, "cloud-init")
    script = render_sh(plan, with_reboot=False)
    lines = [
        "#cloud-config",
        f"# {plan.distribution}: NVIDIA driver branch {plan.branch}, {plan.kernel_module} kernel module.",
        "# Written by: gpusetup driver plan --format cloud-init. The restart comes only after every step went well.",
        "write_files:",
        f"  - path: {_SCRIPT}",
        '    permissions: "0755"',
        "    content: |",
        *(f"      {text}" if text else "" for text in script.splitlines()),
        "runcmd:",
        f"  - [sh, -c, 'sh {_SCRIPT} && touch {_DONE}']",
    ]
    if any(isinstance(action, Reboot) for step in plan.steps for action in step.actions):
        lines += [
            "power_state:",
            "  mode: reboot",
            "  message: the NVIDIA driver is loaded by a restart",
            f"  condition: test -e {_DONE}",
        ]
    return "\n".join(lines) + "\n"
