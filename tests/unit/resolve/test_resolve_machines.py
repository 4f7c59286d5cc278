"""Well-known machines and the build that each of them should get."""

from dataclasses import replace

import pytest
from resolve_boxes import ask, box

from provision.records import Gpu, GpuState, Reading, Unlock
from provision.resolve import resolve

MACHINES = {
    "T4 on R535": (box("T4", "535.183.01"), "2.14.1+cu126"),
    "T4 on R470": (box("T4", "470.82.01"), "2.7.1+cu118"),
    "T4 on R580": (box("T4", "580.65.06"), "2.15.0+cu130"),
    "V100 on R470": (box("V100", "470.82.01"), "2.7.1+cu118"),
    "V100 on R535": (box("V100", "535.183.01"), "2.14.1+cu126"),
    "V100 on R580": (box("V100", "580.82.07"), "2.14.1+cu126"),
    "V100 on R590, dropped": (box("V100", "590.48.01"), None),
    "P100 on R580": (box("P100", "580.82.07"), "2.14.1+cu126"),
    "GTX 1080 on R575": (box("1080", "575.57.08"), "2.14.1+cu126"),
    "A100 on the floor of CUDA 12": (box("A100", "525.60.13"), "2.14.1+cu126"),
    "A100 one below the floor": (box("A100", "525.60.12"), "2.7.1+cu118"),
    "A100 on the floor of CUDA 11": (box("A100", "450.80.02"), "2.7.1+cu118"),
    "A100 below all floors": (box("A100", "450.80.01"), None),
    "H100 on R535": (box("H100", "535.104.05"), "2.14.1+cu126"),
    "H100 on R550": (box("H100", "550.54.15"), "2.14.1+cu126"),
    "H100 on the floor of CUDA 13": (box("H100", "580.65.06"), "2.15.0+cu130"),
    "H100 one below": (box("H100", "580.65.05"), "2.14.1+cu126"),
    "H100 on R595": (box("H100", "595.58.03"), "2.15.0+cu132"),
    "H100 on the newest": (box("H100", "620.70.06"), "2.15.0+cu132"),
    "RTX 5090 on R570": (box("5090", "570.86.16"), "2.13.0+cu129"),
    "RTX 5090 on R550": (box("5090", "550.54.14"), None),
    "B300 on R580": (box("B300", "580.82.07"), "2.15.0+cu130"),
    "Kepler K80": (box("Tesla_K80", "470.256.02", capability="3.7", python="3.10"), "2.3.1+cu118"),
    "Ubuntu 18.04": (box("T4", "535.183.01", glibc="2.27", python="3.9"), "2.6.0+cu118"),
    "CentOS 7": (box("A100", "535.183.01", glibc="2.17", python="3.9"), "2.6.0+cu118"),
    "before CentOS 7": (box("A100", "535.183.01", glibc="2.12", python="3.9"), None),
    "Alpine": (box("T4", "535.183.01", glibc=None, os="alpine"), None),
    "Python 3.8": (box("T4", "550.54.15", python="3.8"), "2.4.1+cu124"),
    "Python 3.9": (box("T4", "535.183.01", python="3.9"), "2.8.0+cu129"),
    "Python 3.10": (box("H100", "580.65.06", python="3.10"), "2.14.1+cu130"),
    "Python 3.14t": (box("H100", "580.65.06", python="3.14t"), "2.15.0+cu130"),
    "Python 3.7": (box("H100", "580.65.06", python="3.7"), None),
    "GH200": (box("GH200", "550.54.15", arch="aarch64"), "2.14.1+cu126"),
    "GB200, nobody read cu128": (box("GB200", "570.133.20", arch="aarch64"), "2.13.0+cu129"),
    "Thor by the CUDA of its driver": (box("Thor", "580.00", cuda="13.0", arch="aarch64"), "2.15.0+cu130"),
    "Thor by its driver number": (box("Thor", "580.00", arch="aarch64"), None),
    "no GPU": (box(), "2.15.0+cpu"),
    "no GPU, aarch64": (box(arch="aarch64"), "2.15.0+cpu"),
    "unusable GPU": (box("T4", state=GpuState.UNUSABLE), None),
    "WSL with a Windows driver": (box("4090", "551.61", is_wsl=True), "2.14.1+cu126"),
    "WSL below the Windows floor": (box("4090", "528.32", is_wsl=True), "2.7.1+cu118"),
    "the same number on Linux": (box("4090", "528.32"), "2.14.1+cu126"),
    "V100 and H100 together": (box("V100 H100", "580.82.07"), "2.14.1+cu126"),
    "V100 and RTX 5090 want different kernel modules": (box("V100 5090", "580.82.07"), "2.15.0+cu130"),
    "V100 and RTX 5090 together on WSL": (box("V100 5090", "580.82.07", is_wsl=True), "2.10.0+cu128"),
    "P100 and RTX 5090 together": (box("P100 5090", "580.82.07"), "2.15.0+cu130"),
    "RTX 3090 before its branch": (box("NVIDIA_GeForce_RTX_3090", "450.119.03", capability="8.6"), None),
    "RTX 3090 on its first branch": (box("NVIDIA_GeForce_RTX_3090", "455.23.05", capability="8.6"), "2.7.1+cu118"),
    "A100 on that branch": (box("A100", "450.119.03"), "2.7.1+cu118"),
    "B300 on the first driver that lists it": (box("B300", "580.82.07"), "2.15.0+cu130"),
    "B300 one below": (box("B300", "580.82.06"), None),
    "WSL before R495": (box("T4", "472.50", is_wsl=True), None),
    "WSL on R495": (box("T4", "496.13", is_wsl=True), "2.7.1+cu118"),
    "Orin with JetPack 6.2": (box("Tegra234", arch="aarch64", python="3.10", l4t="36.4.3"), None),
    "Orin with JetPack 7.2": (box("Tegra234", arch="aarch64", l4t="39.2.0"), "2.15.0+cu132"),
    "Xavier with JetPack 5.1.2": (box("Tegra194", arch="aarch64", python="3.8", l4t="35.4.1"), None),
    "Blackwell under the proprietary module": (box("5090", "580.82.07", module="proprietary"), None),
    "Volta under the open module": (box("V100", "580.82.07", module="open"), None),
    "GH200 under the proprietary module": (box("GH200", "580.82.07", module="proprietary", arch="aarch64"), None),
    "H100 under either module": (box("H100", "580.82.07", module="proprietary"), "2.15.0+cu130"),
    "H100 with a compatibility package": (box("H100", "535.104.05", cuda="13.2"), "2.15.0+cu132"),
    "H100, package of a branch that it does not list": (box("H100", "525.60.13", cuda="13.2"), "2.14.1+cu126"),
    "RTX 4090 with a compatibility package": (box("4090", "535.104.05", cuda="13.2"), "2.14.1+cu126"),
    "macOS": (box(system="darwin", arch="arm64", os_version="15.1", glibc=None), "2.15.0"),
    "macOS of nobody knows which release": (box(system="darwin", arch="aarch64", glibc=None), "2.15.0"),
    "macOS before 14": (box(system="darwin", arch="arm64", os_version="13", glibc=None), "2.11.0"),
    "macOS before Arm": (box(system="darwin", arch="arm64", os_version="10.13", glibc=None), None),
    "macOS on Intel": (box(system="darwin", os_version="15.1", glibc=None), "2.2.2"),
    "macOS with a GPU": (box("T4", system="darwin", arch="arm64", glibc=None), None),
    "ppc64le": (box("V100", "535.183.01", arch="ppc64le"), None),
}


@pytest.mark.parametrize(("machine", "build"), MACHINES.values(), ids=MACHINES)
def test_a_known_machine_gets_its_build(machine, build, matrix, catalogue):
    resolution = resolve(machine, ask(), matrix, catalogue=catalogue)
    chosen = resolution.chosen
    assert (chosen.local_version if chosen else None) == build
    if not chosen:
        assert resolution.rejections


def test_a_build_says_what_to_install(matrix, catalogue):
    build = resolve(box("H100", "620.70.06"), ask(), matrix, catalogue=catalogue).chosen
    assert build.wheel_tag == "cp312-cp312-manylinux_2_28_x86_64"
    assert build.index == "https://download.pytorch.org/whl/cu132"
    assert build.is_general_index_default
    assert build.requirements == (
        "torch==2.15.0",
        "transformers>=4.48,<6",
        "numpy",
        "safetensors>=0.3.1",
        "nvidia-ml-py",
    )
    assert str(build.cuda_runtime_version) == "13.2"


def test_an_old_torch_brings_its_old_companions(matrix, catalogue):
    build = resolve(box("V100", "470.82.01", python="3.10"), ask(torch="2.0"), matrix, catalogue=catalogue).chosen
    assert build.local_version == "2.0.1+cu118"
    assert build.wheel_tag == "cp310-cp310-linux_x86_64"
    assert build.requirements[:3] == ("torch==2.0.1", "transformers>=4.30,<4.50", "numpy<2")
    assert build.requirements[3:] == ("safetensors>=0.3.1,<0.8", "setuptools<70", "nvidia-ml-py")


def test_a_cpu_build_wants_no_nvidia_package(matrix, catalogue):
    resolution = resolve(box(), ask(), matrix, catalogue=catalogue)
    assert all("nvidia" not in line for line in resolution.chosen.requirements)
    assert resolution.notes[0].id == "cpu-plan"
    assert resolution.notes[0].happened == "No NVIDIA GPU is there: CPU builds only."


def test_cpu_asked_for_beside_a_gpu_gives_cpu_builds_alone(matrix, catalogue):
    resolution = resolve(box("H100", "580.65.06"), ask(cpu=True), matrix, catalogue=catalogue)
    assert {build.kind for build in resolution.candidates} == {"cpu"}
    assert resolution.notes[0].happened == "A CPU build was asked for; the GPU is left unused."


@pytest.mark.parametrize("state", [GpuState.USABLE, GpuState.UNUSABLE])
def test_a_machine_with_a_gpu_never_gets_a_cpu_build(state, matrix, catalogue):
    for machine in (
        box("T4", state=state),
        box("T4", "390.157", state=state),
        box("T4", "535.183.01", state=state),
        box(state=state),
    ):
        assert all(build.kind == "cuda" for build in resolve(machine, ask(), matrix, catalogue=catalogue).candidates)


def test_listed_gpus_count_even_where_nobody_judged_their_state(matrix, catalogue):
    machine = replace(box("T4", "535.183.01"), gpu_state=GpuState.NONE)
    assert resolve(machine, ask(), matrix, catalogue=catalogue).chosen.local_version == "2.14.1+cu126"


def test_unlabelled_wheels_and_free_threaded_pythons_are_noted(matrix, catalogue):
    old = resolve(box("GH200", "550.54.15", arch="aarch64"), ask(torch="2.5"), matrix, catalogue=catalogue)
    assert old.chosen.wheel_tag == "cp312-cp312-linux_aarch64"
    assert "local-label-missing" in [note.id for note in old.notes]
    free = resolve(box("H100", "580.65.06", python="3.14t"), ask(), matrix, catalogue=catalogue)
    assert free.chosen.wheel_tag == "cp314-cp314t-manylinux_2_28_x86_64"
    assert "companion-wheel-missing" in [note.id for note in free.notes]


def test_a_musl_system_is_told_by_its_reading_too(matrix, catalogue):
    machine = replace(box(glibc=None), readings=(Reading("host.glibc", "ldd", failure="musl libc 1.2.4"),))
    resolution = resolve(machine, ask(), matrix, catalogue=catalogue)
    assert not resolution.candidates
    assert {no.rule for no in resolution.rejections} >= {"musl-libc"}
    unread = replace(box(glibc=None), readings=(Reading("host.glibc", "libc", failure="no symbol"),))
    resolution = resolve(unread, ask(), matrix, catalogue=catalogue)
    assert not resolution.candidates
    assert {no.rule for no in resolution.rejections} >= {"glibc-unknown"}


def test_other_vendors_are_named(matrix, catalogue):
    from provision.records import OtherGpu

    machine = replace(box(), other_gpus=(OtherGpu("AMD", "0000:03:00.0", "1002:744c"),))
    notes = resolve(machine, ask(), matrix, catalogue=catalogue).notes
    assert notes[1].happened == "Not supported, only NVIDIA GPUs are: AMD 1002:744c."


def test_typed_in_machines_list_what_they_assume(matrix, catalogue):
    machine = box("H100", "535.104.05", python=None, glibc=None, system=None, arch=None)
    resolution = resolve(machine, ask(), matrix, catalogue=catalogue)
    assert resolution.chosen.python == "3.12"
    assert resolution.assumptions == (
        "NVIDIA H100 80GB HBM3 has compute capability 9.0, by its name.",
        "The system is not known: Linux is assumed.",
        "The processor architecture is not known: x86_64 is assumed.",
        "The glibc is not known: the plan takes it to be new enough for the wheel.",
        "The Python is not known: 3.12 or 3.11 is assumed.",
    )


def test_gpus_of_two_kernel_modules_are_not_used_together(matrix, catalogue):
    """The build has code for both; Linux loads one module: the open one for Blackwell, the proprietary for Volta."""
    resolution = resolve(box("V100 5090", "580.82.07"), ask(torch="2.10", cuda="cu128"), matrix, catalogue=catalogue)
    assert resolution.chosen.local_version == "2.10.0+cu128"
    (out,) = resolution.gpus_left_out
    assert (out.index, out.rule, out.needs) == (0, "kernel-module-unsuitable", "GPUs that one kernel module serves")
    assert "V100" in out.found
    assert "5090" in out.found
    assert not any(step.change == "gpu" for step in resolution.unlocks)


def test_an_architecture_that_nobody_saw_run_is_doubtful_and_a_proven_one_is_not(matrix, catalogue):
    def doubts(gpu, capability):
        notes = resolve(box(gpu, "620.70.06", capability=capability), ask(), matrix, catalogue=catalogue).notes
        return [note.happened for note in notes if note.id == "row-doubtful"]

    assert "nobody has seen it run" in doubts("NVIDIA_Rubin", "10.7")[0]
    assert doubts("H100", None) == []


def test_a_jetson_without_a_build_is_shown_to_its_images(matrix, catalogue):
    machine = box("Orin", "540.4.0", cuda="12.6", capability="8.7", arch="aarch64")
    notes = resolve(machine, ask(), matrix, catalogue=catalogue).notes
    assert [note.safe for note in notes if note.id == "jetson-wheels"] == [("gpusetup plan --container",)]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Unlock("driver", "535.54.03", "580.65.06", "2.15.0", "cu130"), "driver 535.54.03 -> 580.65.06"),
        (Unlock("torch", "--torch 2.4", "without --torch", "2.15.0", "cu130"), "--torch 2.4 -> without --torch"),
        (
            Unlock("forward-compatibility", "driver 535.54.03 alone", "package cuda-compat-13-2", "2.15.0", "cu132"),
            "package cuda-compat-13-2 over driver 535.54.03",
        ),
    ],
)
def test_an_unlock_in_words(step, words):
    assert step.words == words


VGPUS = [
    ("GRID A100-40C", "2.15.0+cu130"),
    ("NVIDIA A40-8Q", "2.15.0+cu130"),
    ("GRID T4-16Q", "2.15.0+cu130"),
    ("GRID V100D-32C", "2.14.1+cu126"),
    ("NVIDIA A40-8A", None),
    ("NVIDIA L4-2B", None),
]


@pytest.mark.parametrize(("name", "build"), VGPUS)
def test_a_vgpu_is_judged_by_its_board_and_its_series(name, build, matrix, catalogue):
    machine = replace(box("x", "580.82.07"), gpus=(Gpu(0, name=name),))
    resolution = resolve(machine, ask(), matrix, catalogue=catalogue)
    assert (resolution.chosen and resolution.chosen.local_version) == build
    assert ("vgpu-guest" in {note.id for note in resolution.notes}) is bool(build)
    assert ("vgpu-without-cuda" in {no.rule for no in resolution.rejections}) is not bool(build)


# --- boxes with GPUs of several kinds -----------------------------------------------------------

MIXED = [
    (box("P100 5090", "580.82.07"), "2.15.0+cu130", {0: "no-code-for-gpu"}),
    (box("V100 H100", "590.48.01"), "2.15.0+cu130", {0: "gpu-dropped-by-driver-branch"}),
    (box("H100 B300", "570.86.15"), "2.14.1+cu126", {1: "driver-too-old-for-gpu"}),
    (box("V100 5090", "580.82.07", module="proprietary"), "2.14.1+cu126", {1: "kernel-module-unsuitable"}),
    (box("5090 P100 5090 V100", "580.82.07"), "2.15.0+cu130", {1: "no-code-for-gpu", 3: "no-code-for-gpu"}),
    (box("5090 P100 5090 V100", "580.82.07", is_wsl=True), "2.10.0+cu128", {1: "no-code-for-gpu"}),
    (box("V100 H100", "580.82.07"), "2.14.1+cu126", {}),
    (box("P100 V100", "590.48.01"), None, {}),
]


@pytest.mark.parametrize(("machine", "build", "left_out"), MIXED)
def test_a_mixed_box_is_served_whole_or_its_most_capable_part_is(machine, build, left_out, matrix, catalogue):
    resolution = resolve(machine, ask(), matrix, catalogue=catalogue)
    assert (resolution.chosen and resolution.chosen.local_version) == build
    assert {out.index: out.rule for out in resolution.gpus_left_out} == left_out
    assert ("gpus-left-out" in {note.id for note in resolution.notes}) is bool(left_out)


def test_a_gpu_that_nobody_knows_is_left_out_and_named(matrix, catalogue):
    resolution = resolve(box("H100 unheard-of", "580.82.07"), ask(), matrix, catalogue=catalogue)
    (out,) = resolution.gpus_left_out
    assert (out.index, out.name, out.rule) == (1, "unheard-of", "compute-capability-unknown")


def test_a_gpu_split_into_no_instance_is_not_used(matrix, catalogue):
    machine = box("A100 A100", "580.82.07")
    first, second = machine.gpus
    split = replace(first, mig_mode="enabled", mig_instances=0)
    whole = resolve(replace(machine, gpus=(split, second)), ask(), matrix, catalogue=catalogue)
    assert [out.rule for out in whole.gpus_left_out] == ["mig-without-instance"]
    alone = resolve(replace(machine, gpus=(split,)), ask(), matrix, catalogue=catalogue)
    assert not alone.chosen
    assert [step.change for step in alone.unlocks] == ["mig"]
    served = replace(machine, gpus=(replace(split, mig_instances=2),))
    assert resolve(served, ask(), matrix, catalogue=catalogue).chosen


def test_a_jetson_without_a_general_wheel_is_shown_those_of_its_jetpack(matrix, catalogue):
    resolution = resolve(
        box("Tegra234", arch="aarch64", python="3.10", l4t="36.4.0"), ask(), matrix, catalogue=catalogue
    )
    (note,) = [note for note in resolution.notes if note.id == "jetson-wheels"]
    assert "JetPack 6.1 (CUDA 12.6)" in note.happened
    assert note.safe[0].startswith("NVIDIA's own torch 2.5.0a0+872d972e41.nv24.08.17622132 for Python 3.10: https://")
    assert any("JetPack 6.1" in line for line in resolution.assumptions)
