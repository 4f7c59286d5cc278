import pytest
from paste_texts import COLLECT_ENV

from provision.errors import InputError
from provision.records import GpuState, Interpreter
from provision.versions import DriverVersion, Glibc


def with_line(label: str, text: str) -> str:
    return "\n".join(f"{label}: {text}" if line.startswith(f"{label}:") else line for line in COLLECT_ENV.splitlines())


def without(*labels: str) -> str:
    return "\n".join(line for line in COLLECT_ENV.splitlines() if not line.startswith(labels))


def test_a_whole_text(pasted):
    machine = pasted(COLLECT_ENV)
    host = machine.host
    assert (host.system, host.os, host.os_version, host.arch) == ("linux", "ubuntu", "22.04", "x86_64")
    assert (host.kernel, host.glibc, host.is_wsl) == ("6.8.0-45-generic", Glibc(2, 35), False)
    assert machine.python == Interpreter("3.11.9")
    assert machine.driver.driver_version == DriverVersion("550.90.07")
    assert [gpu.name for gpu in machine.gpus] == ["NVIDIA A10G", "NVIDIA A10G"]
    assert (machine.gpu_state, machine.assumptions) == (GpuState.USABLE, ())


def test_the_cuda_of_torch_and_of_the_toolkit_are_not_the_drivers(pasted):
    machine = pasted(COLLECT_ENV)
    assert machine.driver.driver_cuda_version is None
    assert machine.reading("torch.cuda_runtime_version").value == "12.1"
    assert machine.reading("host.cuda_toolkit_version").value == "12.4.131"
    assert machine.reading("torch.version").value == "2.4.0+cu121"


def test_one_gpu_on_the_line_of_its_label(pasted):
    text = with_line("GPU models and configuration", "GPU 0: Tesla T4").replace("GPU 1: NVIDIA A10G\n", "")
    assert [gpu.name for gpu in pasted(text.replace("GPU 0: NVIDIA A10G\n", "")).gpus] == ["Tesla T4"]


def test_wsl_by_its_kernel(pasted):
    text = with_line("Python platform", "Linux-5.15.153.1-microsoft-standard-WSL2-x86_64-with-glibc2.35")
    host = pasted(text).host
    assert (host.system, host.is_wsl, host.kernel) == ("linux", True, "5.15.153.1-microsoft-standard-WSL2")


@pytest.mark.parametrize(
    ("named", "system", "os_name", "version"),
    [
        ("Debian GNU/Linux 12 (bookworm) (x86_64)", "linux", "debian", "12"),
        ("CentOS Linux 7 (Core) (x86_64)", "linux", "centos", "7"),
        ("Red Hat Enterprise Linux 8.6 (Ootpa) (x86_64)", "linux", "rhel", "8.6"),
        ("SUSE Linux Enterprise Server 15 SP4 (x86_64)", "linux", "sles", "15.4"),
        ("Alpine Linux v3.18 (x86_64)", "linux", "alpine", "3.18"),
        ("Amazon Linux 2 (x86_64)", "linux", "amzn", "2"),
        ("Unheard-of Linux 5 (x86_64)", "linux", None, None),
    ],
)
def test_distributions(named, system, os_name, version, pasted):
    host = pasted(with_line("OS", named)).host
    assert (host.system, host.os, host.os_version) == (system, os_name, version)


@pytest.mark.parametrize(
    ("named", "platform", "system", "version"),
    [
        ("Microsoft Windows 11 Pro (10.0.22631 64-bit)", "Windows-10-10.0.22631-SP0", "windows", "11"),
        ("Майкрософт Windows 10 Pro", "Windows-10-10.0.19045-SP0", "windows", "10"),
        ("macOS 14.1 (arm64)", "macOS-14.1-arm64-arm-64bit", "darwin", "14.1"),
    ],
)
def test_other_systems(named, platform, system, version, pasted):
    text = with_line("OS", named).replace("Linux-6.8.0-45-generic-x86_64-with-glibc2.35", platform)
    host = pasted(text.replace("glibc-2.35", "N/A")).host
    assert (host.system, host.os_version, host.kernel, host.glibc, host.is_wsl) == (system, version, None, None, None)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("3.12.3 | packaged by Anaconda, Inc. | (main) [GCC 11.2.0] (64-bit runtime)", Interpreter("3.12.3")),
        ("3.8 (64-bit runtime)", Interpreter("3.8")),
        ("3.13.0 experimental free-threading build (main) [GCC]", Interpreter("3.13.0", is_free_threaded=True)),
        ("3.10.14 (75b3de9, Apr 2024) [PyPy 7.3.16 with GCC 10]", Interpreter("3.10.14", "pypy")),
        ("unknown", None),
    ],
)
def test_pythons(text, python, pasted):
    assert pasted(with_line("Python version", text)).python == python


@pytest.mark.parametrize("said", ["No CUDA", "Could not collect"])
def test_a_text_that_names_no_gpu_says_so(said, pasted):
    text = without("GPU 0", "GPU 1").replace("configuration:", f"configuration: {said}")
    text = text.replace("available: True", "available: False").replace("550.90.07", said)
    machine = pasted(text)
    assert (machine.gpu_state, machine.gpus, machine.driver) == (GpuState.NONE, (), None)
    assert machine.assumptions == (
        f"The text names no GPU ({said.lower()}) and no driver: the machine is taken to have none.",
    )


def test_a_gpu_that_cuda_finds_and_nobody_names(pasted):
    """collect_env does not know the header of R610: neither the driver nor the GPU is collected."""
    text = without("GPU 0", "GPU 1").replace("configuration:", "configuration: Could not collect")
    machine = pasted(text.replace("550.90.07", "Could not collect"))
    assert (machine.gpu_state, len(machine.gpus)) == (GpuState.USABLE, 1)
    assert machine.assumptions == (
        "CUDA is available and no GPU is named: one GPU of unknown kind is taken to be there.",
        "The paste names no driver version.",
        "The paste names no model and no compute capability for GPU 0.",
    )


def test_an_amd_gpu_is_named_as_not_supported(pasted):
    text = without("GPU 0", "GPU 1").replace("configuration:", "configuration: AMD Instinct MI300X (gfx942)")
    text = text.replace("550.90.07", "Could not collect").replace(
        "ROCM used to build PyTorch: N/A", "ROCM used to build PyTorch: 6.0"
    )
    machine = pasted(text)
    assert (machine.gpu_state, machine.gpus) == (GpuState.NONE, ())
    assert machine.assumptions == ("PyTorch is built for ROCm 6.0 there: an AMD GPU is not supported and left out.",)


def test_a_driver_without_gpu_is_no_cpu_machine(pasted):
    text = without("GPU ").replace("available: True", "available: False")
    assert len(pasted(text).gpus) == 1


def test_a_text_that_ends_before_its_gpus_is_refused(pasted):
    with pytest.raises(InputError, match="ends before it names GPUs") as caught:
        pasted(COLLECT_ENV[: COLLECT_ENV.index("Is CUDA available")])
    assert caught.value.do


def test_a_driver_at_the_very_end_may_be_cut(pasted):
    text = COLLECT_ENV[: COLLECT_ENV.index("550.90.07") + 6]
    assert pasted(text).assumptions == ("The driver version 550.90 ends the paste and is taken to be whole.",)


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 9070 Laptop GPU", "NVIDIA GeForce GT 730"])
def test_a_name_that_tells_no_capability_is_said(pasted, name):
    machine = pasted(COLLECT_ENV.replace("GPU 1: NVIDIA A10G", f"GPU 1: {name}"))
    assert machine.assumptions == (f"The paste names no compute capability for GPU 1 ({name}).",)


def test_a_laptop_gpu_needs_no_word(pasted):
    machine = pasted(COLLECT_ENV.replace("GPU 1: NVIDIA A10G", "GPU 1: NVIDIA GeForce RTX 4070 Laptop GPU"))
    assert machine.assumptions == ()


def test_labels_of_an_issue_template(pasted):
    text = "\n".join(
        f"- **{line.replace(':', ':**', 1)}" if ": " in line else line for line in COLLECT_ENV.splitlines()
    )
    assert pasted(text).driver.driver_version == DriverVersion("550.90.07")
