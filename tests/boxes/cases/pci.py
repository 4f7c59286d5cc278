"""Sick machines of the area pci."""

from __future__ import annotations

from provision.checks.facts import Rate
from tests.boxes import healthy
from tests.boxes.layers.kernel_log import journal
from tests.boxes.layers.pci import BUS, aer, gpus_of, port_of, width

from . import Case

_NO_WINDOW = (
    "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"
    "0x0000000000000000 0x0000000fffffffff 0x000000002014220c\n"
)
_SMALL_WINDOW = (
    "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n"
    "0x0000000090000000 0x000000009fffffff 0x000000000014220c\n"
)
_INVALID = """NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:
               NVRM: BAR1 is 0M @ 0x0 (PCI:{})"""


def _no_driver(box, *messages):
    """NVML lists no GPU at all."""
    for number, bus_id in enumerate(gpus_of(box)):
        box.without(f"{BUS}/{bus_id}/driver", f"/dev/nvidia{number}")
        box.looks.pop(("link", f"{BUS}/{bus_id}/driver"), None)
    return journal(box.nvml(count=0), *messages)


def _without_window(box, bus_id):
    box = _no_driver(box, _INVALID.format(bus_id), f"pci {bus_id}: BAR 1: failed to assign [mem size 0x1000000000]")
    return box.file(f"{BUS}/{bus_id}/resource", _NO_WINDOW)


def _dark_blackwell():
    box = healthy.rtx5090().nvml(**{"0.err.*": 999})
    box.file(f"{BUS}/0000:01:00.0/resource", _SMALL_WINDOW)
    return journal(box, "NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x25:0xffff:1600)")


def _peers(box):
    """Two GPUs that may copy from one another over PCIe."""
    return box.nvml(**{"p2p.0": 0, "p2p.1": 0, "p2p.2": 5})


def _redirecting():
    box = _peers(healthy.rtx3090_p40())
    for number in range(2):
        box.file(f"/sys/kernel/iommu_groups/{number + 10}/type", "identity\n")
    ports = "".join(
        f"{port_of(number)} PCI bridge\n\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+\n"
        for number in range(2)
    )
    return box.command("lspci -vvv -D", ports)


def _two_nodes(box):
    box.file("/sys/devices/system/node/has_cpu", "0-1\n")
    return box.file(f"{BUS}/{gpus_of(box)[0]}/numa_node", "-1\n")


CASES: tuple[Case, ...] = (
    # --- how many, and with which addresses
    Case(
        "gpu-missing-from-the-bus",
        lambda: healthy.v100().given(expected_gpus=2),
        "pci.count_vs_expected",
        pitfall=("gpu-not-on-pcie",),
        says=("1 GPU here, 2 expected",),
    ),
    Case(
        "no-gpu-where-one-is-expected",
        lambda: healthy.cpu_only().given(expected_gpus=1),
        "pci.count_vs_expected",
        leads="pci.gpu_present",
        pitfall=("gpu-not-on-pcie",),
        says=("0 GPUs here, 1 expected",),
    ),
    Case(
        "bar-unassigned",
        lambda: _without_window(healthy.l40s(), "0000:41:00.0"),
        "pci.bar_assigned",
        pitfall=("bar-unassigned",),
        says=("0000:41:00.0", "firmware"),
    ),
    Case(
        "bar-unassigned-in-a-guest",
        lambda: _without_window(healthy.t4(), "0000:00:1e.0"),
        "pci.bar_assigned",
        pitfall=("vm-large-bar-passthrough",),
        says=("hypervisor",),
    ),
    Case(
        "blackwell-behind-a-small-window",
        _dark_blackwell,
        "pci.bar1_size",
        "warn",
        pitfall=("blackwell-above4g-rebar",),
        says=("256 MiB",),
    ),
    Case(
        "small-window-of-a-server-board",
        lambda: healthy.l40s().nvml(**{"0.bar1_total": 268435456}),
        "pci.bar1_size",
        "warn",
        says=("256 MiB",),
    ),
    # --- between GPUs
    Case(
        "iommu-translates",
        lambda: _peers(healthy.rtx3090_p40()),
        "pci.iommu",
        "warn",
        pitfall=("p2p-iommu-acs-hang",),
        says=("DMA-FQ",),
    ),
    Case(
        "iommu-translates-before-infiniband",
        lambda: healthy.h100x8().file("/sys/kernel/iommu_groups/10/type", "DMA\n"),
        "pci.iommu",
        "warn",
        says=("mlx5_0",),
    ),
    Case(
        "bridges-redirect",
        _redirecting,
        "pci.acs",
        "warn",
        pitfall=("p2p-iommu-acs-hang",),
        says=("ReqRedir", "0000:00:01.0"),
    ),
    Case(
        "no-numa-node",
        lambda: _two_nodes(healthy.l40s()),
        "pci.numa_node",
        "warn",
        pitfall=("numa-affinity-wrong",),
        says=("2 nodes",),
    ),
    # --- links
    Case(
        "half-the-lanes",
        lambda: width(healthy.l40s(), "0000:41:00.0", 8),
        "pci.link_width",
        "warn",
        pitfall=("pcie-link-degraded",),
        says=("8 of 16 lanes",),
    ),
    Case(
        "a-quarter-of-the-lanes-of-a-desktop-card",
        lambda: width(healthy.rtx5090(), "0000:01:00.0", 4),
        "pci.link_width",
        "warn",
        pitfall=("pcie-link-degraded",),
    ),
    Case(
        "packets-sent-again",
        lambda: healthy.l40s().given(rates={"gpu.0.pcie_replay_count": Rate(1000.0, 3600.0)}),
        "pci.replay_rate",
        "warn",
        pitfall=("pcie-replays-aer",),
        says=("17 per minute", "15 are allowed"),
    ),
    Case(
        "packets-sent-again-all-the-time",
        lambda: healthy.l40s().given(rates={"gpu.0.pcie_replay_count": Rate(100_000.0, 3600.0)}),
        "pci.replay_rate",
    ),
    Case(
        "fatal-error-on-the-way",
        lambda: aer(healthy.l40s(), port_of(0), "fatal", SDES=1),
        "pci.aer",
        pitfall=("pcie-replays-aer",),
        says=("0000:00:01.0", "SDES 1"),
    ),
    Case(
        "error-on-the-way",
        lambda: aer(healthy.l40s(), "0000:41:00.0", "nonfatal", CmpltTO=2),
        "pci.aer",
        "warn",
        says=("CmpltTO 2",),
    ),
    Case(
        "many-corrected-errors",
        lambda: healthy.l40s().given(rates={"pci.0000:41:00.0.aer_correctable": Rate(10_000.0, 600.0)}),
        "pci.aer",
        "warn",
    ),
    Case(
        "fatal-error-and-then-lost",
        lambda: journal(
            aer(healthy.l40s().nvml(**{"0.err.*": 15}), port_of(0), "fatal", SDES=1),
            "pcieport 0000:00:01.0: AER: Uncorrectable (Fatal) error message received from 0000:41:00.0",
            "NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        ),
        "pci.aer",
        leads="kernel.xid_fatal",
    ),
    Case(
        "adapter-without-power",
        lambda: journal(
            healthy.h100x8(),
            "mlx5_core 0000:5c:00.0: mlx5_pcie_event:299:(pid 7): Detected insufficient power on the PCIe slot (27W).",
        ),
        "pci.nic_power",
        "warn",
        says=("0000:5c:00.0",),
    ),
    # --- boards
    Case(
        "power-cable-missing",
        lambda: journal(
            healthy.l40s().nvml(**{"0.err.handle": 8}),
            "NVRM: GPU 0000:41:00.0: GPU does not have the necessary power cables connected.",
            "NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x24:0x1c:1428)",
        ),
        "hw.power_connector",
        pitfall=("power-cable-missing",),
        says=("0000:41:00.0",),
    ),
    Case(
        "power-cable-pulled",
        lambda: journal(
            healthy.l40s(), "NVRM: Xid (PCI:0000:41:00): 54, pid=3, name=python, Power cable is not connected"
        ),
        "hw.power_connector",
    ),
    Case(
        "inforom-corrupt",
        lambda: healthy.l40s().nvml(**{"0.inforom_valid": 0}),
        "hw.inforom",
        pitfall=("inforom-corrupt",),
    ),
    Case(
        "memory-beyond-repair-of-a-gpu",
        lambda: healthy.h100x8().nvml(**{"3.unrepairable": 1}),
        "hw.unrepairable_memory",
    ),
    Case(
        "repair-waits",
        lambda: healthy.h100x8().nvml(**{"3.repair": "1,0"}),
        "hw.unrepairable_memory",
        "warn",
        says=("0000:61:00.0",),
    ),
    Case(
        "driver-wants-a-reset",
        lambda: healthy.h100x8().nvml(**{"3.field.230": 1}),
        "hw.recovery_action",
        pitfall=("xid-154-recovery-action",),
        says=("GPU reset",),
    ),
    Case("driver-wants-no-new-work", lambda: healthy.h100x8().nvml(**{"3.field.230": 4}), "hw.recovery_action", "warn"),
    Case(
        "reset-wanted-after-an-xid",
        lambda: journal(
            healthy.h100x8().nvml(**{"3.field.230": 1}),
            "NVRM: Xid (PCI:0000:61:00): 140, pid=3, name=python, unrecovered",
        ),
        "hw.recovery_action",
        leads="kernel.xid_fatal",
    ),
    Case(
        "one-other-firmware",
        lambda: healthy.h100x8().nvml(**{"5.vbios": "96.00.89.00.01"}),
        "hw.vbios_consistent",
        "warn",
        says=("96.00.89.00.01",),
    ),
    Case(
        "one-with-less-memory",
        lambda: healthy.h100x8().nvml(**{"5.mem_total": 80000000000}),
        "hw.homogeneous",
        "warn",
        says=("0000:c3:00.0",),
    ),
)
