"""Each check on machines made of literals."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from provision.checks import PROBLEMS, all_checks, explain, lead, run_checks
from provision.checks.base import Check
from provision.checks.remedies import install_headers
from provision.records import Driver, Finding, Gpu, GpuState, Host, Machine, OtherGpu, Reading
from provision.versions import DriverVersion
from tests.boxes.catalogue import CATALOGUE

CHECKS = all_checks()
COMPONENTS = set("pci hw driver kernel cuda wheel ctr gpu link fabric mgpu nccl ib net sys".split())  # noqa: SIM905
BUS = "/sys/bus/pci/devices"
HOST = Host(hostname="box", system="linux", os="ubuntu", os_version="22.04", is_wsl=False)
NODES = ("/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl")


def gpu(index=0, **changes):
    given = {
        "index": index,
        "name": "NVIDIA A100",
        "gpu_uuid": f"GPU-{index}{index}{index}",
        "pci_bus_id": f"0000:0{index}:00.0",
        "pci_device_id": "10de:20b2",
        "kernel_driver": "nvidia",
        "in_nvml": True,
    }
    return Gpu(**{**given, **changes})


def healthy(*gpus, host=HOST, state=GpuState.USABLE, driver="550.90.07", **facts):
    """A healthy box, with some readings replaced (None: not read)."""
    gpus = gpus or (gpu(),)
    values = {
        "driver.modules": ("nvidia", "nvidia_uvm"),
        "driver.device_nodes": NODES,
        "driver.nvml_library": "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
        "driver.blocked_processes": (),
        "nvml.outcome": "answered",
        "nvml.sweep_s": 0.01,
        **{name.replace("__", "."): value for name, value in facts.items()},
    }
    readings = [Reading(name, "test", value) for name, value in values.items() if value is not None]
    readings += [
        Reading("pci.gpu", f"{BUS}/{one.pci_bus_id}", "10de:20b2 class 0302") for one in gpus if one.pci_bus_id
    ]
    version = DriverVersion(driver) if driver else None
    return Machine(
        host=host,
        driver=Driver(version, kernel_module_version=version, user_library_version=version) if version else None,
        gpus=gpus,
        gpu_state=state,
        readings=tuple(readings),
    )


def broken(*gpus, **changes):
    """A box whose GPU is on the bus and does nothing."""
    gpus = gpus or (gpu(name=None, gpu_uuid=None, kernel_driver=None, in_nvml=None),)
    given = {
        "state": GpuState.UNUSABLE,
        "driver": None,
        "driver__modules": (),
        "driver__device_nodes": (),
        "driver__nvml_library": None,
        "nvml__outcome": "library-not-found",
        "nvml__sweep_s": None,
    }
    return healthy(*gpus, **{**given, **changes})


def status(check_id, machine):
    return finding(check_id, machine).status


def finding(check_id, machine):
    return next(check for check in CHECKS if check.id == check_id).evaluate(machine)


def problems(machine):
    return {result.id for result in run_checks(machine) if result.status in PROBLEMS}


def test_a_healthy_box_has_no_problem():
    assert problems(healthy()) == set()
    assert problems(healthy(gpu(0), gpu(1), driver__device_nodes=(*NODES, "/dev/nvidia1"))) == set()


def test_a_machine_without_gpu_only_skips():
    assert {result.status for result in run_checks(Machine(host=HOST))} == {"skip"}


def test_a_machine_typed_in_is_never_called_broken():
    machine = Machine(host=HOST, gpus=(Gpu(0, name="NVIDIA H100"),), gpu_state=GpuState.USABLE)
    assert problems(machine) == set()


def test_another_makers_gpu_is_named():
    machine = Machine(host=HOST, other_gpus=(OtherGpu("AMD", "0000:03:00.0", "1002:74a1"),))
    assert "AMD 1002:74a1" in finding("pci.gpu_present", machine).happened


# --- causes


@pytest.mark.parametrize(
    ("os", "first_risky"),
    [
        ("ubuntu", "ubuntu-drivers"),
        ("debian", "apt-get install"),
        ("rocky", "dnf install"),
        ("sles", "zypper"),
        ("nixos", "package manager"),
    ],
)
def test_card_without_driver_gets_the_steps_of_its_distribution(os, first_risky):
    machine = broken(host=replace(HOST, os=os))
    found = finding("driver.module_loaded", machine)
    assert found.status == "fail"
    assert found.safe[0] == "gpusetup driver plan"
    assert first_risky in found.risky[0]
    assert lead(run_checks(machine)) == ("driver.module_loaded", ("pci.driver_binding", "driver.nvml_init"))


def test_distribution_family_by_id_like():
    machine = broken(host=replace(HOST, os="zorin"), host__os_like="ubuntu debian")
    assert "ubuntu-drivers" in finding("driver.module_loaded", machine).risky[0]


def test_nouveau_leads():
    machine = broken(gpu(kernel_driver="nouveau", in_nvml=None), driver__modules=("nouveau",))
    cause, folded = lead(run_checks(machine))
    assert cause == "driver.nouveau"
    assert set(folded) == problems(machine) - {cause}
    assert any("blacklist nouveau" in step for step in finding(cause, machine).risky)


def test_nouveau_beside_the_vendor_driver_warns():
    assert status("driver.nouveau", healthy(driver__modules=("nvidia", "nvidia_uvm", "nouveau"))) == "warn"


def test_mismatch_by_file_versions_without_nvml():
    machine = broken(
        gpu(in_nvml=None), driver__modules=("nvidia", "nvidia_uvm"), driver__device_nodes=NODES, nvml__outcome="failed"
    )
    driver = Driver(kernel_module_version=DriverVersion("535.104.05"), user_library_version=DriverVersion("550.90.07"))
    found = finding("driver.kmd_umd_match", replace(machine, driver=driver))
    assert found.status == "fail"
    assert "module 535.104.05, libraries 550.90.07" in found.happened
    assert "sudo reboot" in found.risky


def test_mismatch_leads_nvml():
    machine = broken(
        gpu(in_nvml=None),
        driver__modules=("nvidia", "nvidia_uvm"),
        driver__device_nodes=NODES,
        nvml__outcome="version-mismatch",
    )
    assert lead(run_checks(machine)) == ("driver.kmd_umd_match", ("driver.nvml_init",))


def test_all_gpus_passed_through_fail_with_the_reason():
    machine = broken(gpu(kernel_driver="vfio-pci", in_nvml=None), driver__modules=("vfio_pci",))
    cause, _ = lead(run_checks(machine))
    assert cause == "pci.driver_binding"
    assert "virtual machines" in finding(cause, machine).happened
    assert status("driver.module_loaded", machine) == "skip"


def test_one_gpu_passed_through_is_only_mentioned():
    machine = healthy(gpu(0), gpu(1, kernel_driver="vfio-pci", in_nvml=False))
    assert problems(machine) == set()
    assert "0000:01:00.0 kept for virtual machines" in finding("pci.driver_binding", machine).happened


def test_container_without_its_hosts_gpu():
    machine = broken(
        gpu(in_nvml=None),
        host=replace(HOST, container="docker"),
        driver="550.90.07",
        driver__modules=("nvidia", "nvidia_uvm"),
    )
    cause, folded = lead(run_checks(machine))
    assert cause == "ctr.gpu_granted"
    assert set(folded) == problems(machine) - {cause}
    assert finding(cause, machine).safe[0].startswith("docker run --gpus all")


def test_container_on_a_host_without_driver_points_to_the_host():
    machine = broken(host=replace(HOST, container="podman"))
    found = finding("driver.module_loaded", machine)
    assert found.safe == ("gpusetup driver plan    (on the host of this container)",)
    assert found.risky == ()


def test_container_with_some_of_the_hosts_gpus_is_fine():
    machine = healthy(host=replace(HOST, container="docker"), pci__not_granted="0000:0a:00.0")
    assert problems(machine) == set()
    assert "1 GPU of the host not granted" in finding("pci.count_vs_nvml", machine).happened


# --- the driver's parts


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (NODES, "pass"),
        (("/dev/nvidia0",), "fail"),
        (("/dev/nvidiactl",), "fail"),
        (None, "unknown"),
    ],
)
def test_device_nodes(nodes, expected):
    assert status("driver.device_nodes", healthy(driver__device_nodes=nodes)) == expected


def test_fewer_nodes_than_gpus():
    machine = healthy(gpu(0), gpu(1))
    assert status("driver.device_nodes", machine) == "fail"
    assert status("driver.device_nodes", replace(machine, host=replace(HOST, container="docker"))) == "pass"


def test_node_without_permission():
    machine = healthy()
    closed = Reading("driver.device_node", "/dev/nvidia0", failure="this user may not open it for reading and writing")
    found = finding("driver.device_nodes", replace(machine, readings=(*machine.readings, closed)))
    assert found.status == "fail"
    assert "/dev/nvidia0" in found.happened


@pytest.mark.parametrize(
    ("modules", "nodes", "helper", "container", "expected"),
    [
        (("nvidia", "nvidia_uvm"), NODES, None, None, "pass"),
        (("nvidia",), NODES, None, None, "fail"),
        (("nvidia",), NODES[1:], "/usr/bin/nvidia-modprobe", None, "pass"),
        (("nvidia", "nvidia_uvm"), NODES[1:], "/usr/bin/nvidia-modprobe", "docker", "fail"),
        ((), (), None, None, "skip"),
        (None, None, None, None, "unknown"),
    ],
)
def test_uvm(modules, nodes, helper, container, expected):
    machine = healthy(driver__modules=modules, driver__device_nodes=nodes, driver__modprobe_helper=helper)
    assert status("driver.uvm", replace(machine, host=replace(HOST, container=container))) == expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("library-not-found", "fail"),
        ("driver-not-loaded", "fail"),
        ("version-mismatch", "fail"),
        ("no-permission", "fail"),
        ("gpu-lost", "fail"),
        ("no-module", "fail"),
        ("failed", "fail"),
        ("crashed", "fail"),
        ("timed-out", "timed-out"),
    ],
)
@pytest.mark.parametrize("container", [None, "docker"])
def test_nvml_outcomes(outcome, expected, container):
    machine = broken(nvml__outcome=outcome, host=replace(HOST, container=container))
    found = finding("driver.nvml_init", machine)
    assert found.status == expected
    assert found.safe
    assert found.happened.endswith(".")


def test_nvml_that_only_nvidia_smi_can_ask_warns():
    assert status("driver.nvml_init", healthy(nvml__outcome="no-module", smi__query="1 GPUs")) == "warn"


def test_stuck_process_warns_and_explains_the_hang():
    machine = broken(
        gpu(in_nvml=None),
        driver="550.90.07",
        driver__modules=("nvidia", "nvidia_uvm"),
        driver__device_nodes=NODES,
        nvml__outcome="timed-out",
        driver__blocked_processes=("nvidia-smi (process 10)",),
    )
    assert lead(run_checks(machine)) == ("driver.dstate", ("driver.nvml_init",))


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, "pass"), (2.5, "warn"), (None, "skip")])
def test_query_latency(seconds, expected):
    assert status("driver.query_latency", healthy(nvml__sweep_s=seconds)) == expected


def test_lost_gpu_is_named_with_its_reason():
    machine = healthy(gpu(0), gpu(1, in_nvml=False))
    lost = Reading("gpu.1.usable", "nvml", failure="GPU is lost (NVML code 15)")
    found = finding("pci.count_vs_nvml", replace(machine, readings=(*machine.readings, lost)))
    assert found.status == "fail"
    assert found.happened == "1 GPU of 2 not usable: GPU 1 (0000:01:00.0): GPU is lost (NVML code 15)."
    assert found.risky[0].startswith("sudo nvidia-smi --gpu-reset -i 0000:01:00.0 ")


# --- WSL

WSL = replace(HOST, is_wsl=True)
WINDOWS = "/usr/lib/wsl/lib/libnvidia-ml.so.1"


def wsl(**facts):
    given = {
        "host": WSL,
        "driver__modules": (),
        "driver__device_nodes": (),
        "wsl__dxg": True,
        "wsl__library_folder": True,
        "driver__nvml_library": WINDOWS,
        "driver__cuda_library": "/usr/lib/wsl/lib/libcuda.so.1",
    }
    return healthy(gpu(pci_bus_id=None, kernel_driver=None), **{**given, **facts})


def test_healthy_wsl():
    assert problems(wsl()) == set()
    assert status("sys.wsl", wsl()) == "pass"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"wsl__dxg": False}, "fail"),
        ({"wsl__library_folder": False}, "skip"),
        ({"driver__cuda_library": "/usr/lib/x86_64-linux-gnu/libcuda.so.1"}, "warn"),
    ],
)
def test_wsl_faults(facts, expected):
    assert status("sys.wsl", wsl(**facts)) == expected


def test_linux_driver_inside_wsl_leads():
    lost = broken(
        gpu(pci_bus_id=None, in_nvml=None, kernel_driver=None),
        host=WSL,
        wsl__dxg=True,
        wsl__library_folder=True,
        driver__nvml_library="/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
        nvml__outcome="driver-not-loaded",
    )
    assert lead(run_checks(lost)) == ("sys.wsl", ("driver.nvml_init",))


# --- CUDA_VISIBLE_DEVICES


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (None, "pass", "not set"),
        ("0", "pass", "1 device of 2 GPUs"),
        ("1,0", "pass", "2 devices"),
        ("", "fail", "set and empty"),
        ("-1", "fail", "every GPU is hidden"),
        ("0,-1", "fail", "only 0 stay visible"),
        ("0,5", "fail", "beyond the last GPU, 1"),
        ("0,0", "fail", "every GPU is hidden"),
        ("GPU-000", "pass", "1 device"),
        ("GPU-", "fail", "fits several GPUs"),
        ("GPU-dead", "fail", "fits no GPU"),
        ("MIG-GPU-000/1/0", "fail", "MIG is off"),
        ("none", "fail", "names no device"),
    ],
)
def test_visible_devices(value, expected, said):
    nodes = (*NODES, "/dev/nvidia1")
    machine = healthy(gpu(0), gpu(1), driver__device_nodes=nodes, environment__CUDA_VISIBLE_DEVICES=value)
    found = finding("cuda.visible_devices", machine)
    assert found.status == expected
    assert said in found.happened


def test_value_of_unknown_form_fails_without_showing_it():
    machine = healthy()
    odd = Reading("environment.CUDA_VISIBLE_DEVICES", "environment", failure="set, and of no known form")
    found = finding("cuda.visible_devices", replace(machine, readings=(*machine.readings, odd)))
    assert found.status == "fail"


# --- modes


@pytest.mark.parametrize(
    ("mode", "pending", "instances", "expected", "said"),
    [
        ("disabled", 0, None, "pass", "MIG is off"),
        ("enabled", 1, 4, "pass", "with instances"),
        ("enabled", 1, 0, "fail", "no instance"),
        ("disabled", 1, None, "fail", "to turn MIG on"),
        ("enabled", 0, 4, "fail", "to turn MIG off"),
        (None, None, None, "skip", "No usable GPU"),
    ],
)
def test_mig(mode, pending, instances, expected, said):
    machine = healthy(gpu(mig_mode=mode), gpu__0__mig_pending=pending, gpu__0__mig_instances=instances)
    found = finding("gpu.mig_state", machine)
    assert found.status == expected
    assert said in found.happened


@pytest.mark.parametrize(("mode", "expected"), [(0, "pass"), (2, "fail"), (3, "warn"), (None, "skip")])
def test_compute_mode(mode, expected):
    assert status("gpu.compute_mode", healthy(gpu__0__compute_mode=mode)) == expected


# --- the machinery


def test_a_raising_check_is_crashed_and_the_others_run():
    def explode(facts, say):
        raise ZeroDivisionError("secret\x1b")

    checks = (Check("driver.explode", "instant", explode), *CHECKS)
    results = run_checks(healthy(), checks)
    assert results[0].status == "crashed"
    assert results[0].happened == "This check is broken and found nothing (ZeroDivisionError: secret)."
    assert len(results) == len(checks)


def test_duration_comes_from_the_clock_that_is_handed_in():
    ticks = iter(range(1000))
    assert {result.duration_s for result in run_checks(healthy(), clock=lambda: float(next(ticks)))} == {1.0}


def test_nothing_leads_a_healthy_box():
    assert lead(run_checks(healthy())) == (None, ())


def test_failures_lead_before_warnings():
    findings = (Finding("driver.query_latency", "warn", ""), Finding("driver.uvm", "fail", ""))
    assert lead(findings) == ("driver.uvm", ())


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("6.8.12-15-pve", "proxmox-headers-6.8.12-15-pve"),
        ("6.5.11-8-pve", "proxmox-headers-6.5.11-8-pve"),
        ("6.2.16-20-pve", "pve-headers-6.2.16-20-pve"),
        ("5.15.158-2-pve", "pve-headers-5.15.158-2-pve"),
        ("6.8.0-79-generic", "linux-headers-6.8.0-79-generic"),
    ],
)
def test_headers_of_a_kernel_on_debian(kernel, words):
    machine = Machine(host=replace(HOST, os="debian"))
    assert install_headers(machine, kernel).endswith(words)
    assert f" {words}" in install_headers(machine, kernel)


def test_results_name_what_they_explain():
    results = {result.id: result for result in run_checks(broken())}
    assert results["driver.module_loaded"].leads == ("pci.driver_binding", "driver.nvml_init")
    assert results["pci.gpu_present"].leads == ()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_has_a_page(check):
    page = explain(check.id)
    for head in ("What it finds", "Why it matters", "How it is decided", "What to do", "Sources"):
        assert re.search(rf"^{head}$", page, re.MULTILINE), head
    assert check.component in COMPONENTS
    # What a check explains may be one of the catalogue that is not there yet.
    assert {one.id for one in CHECKS} | CATALOGUE >= set(check.leads)
    assert check.id not in check.leads


def test_ids_are_unique_and_modules_are_named_after_them():
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    for check in CHECKS:
        assert check.judge.__module__.startswith("provision.checks.")
        assert check.title.endswith(".")
        assert len(check.title) <= 110


def test_unknown_id_has_no_page():
    assert explain("driver.nothing") is None
