"""Variables: what is kept of them, and what never is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from provision.detect.memory import Recorder
from provision.detect.probes import variables
from provision.detect.probes.variables import FORMS, parse_capabilities, parse_filesystem, parse_nccl_conf, read
from provision.detect.surroundings import Surroundings
from provision.records import GpuState, Host, Machine

BOX = Machine(gpu_state=GpuState.USABLE)


def look(root, environ, machine=BOX):
    memory = Recorder()
    around = Surroundings(root=Path(root), environ=environ, memory=memory)
    readings = tuple(read(around, machine))
    seen = json.dumps([[key, one.state, one.value, one.why] for key, one in memory.looks.items()])
    return {one.name: one for one in readings}, seen, readings


def write(root, path, text=""):
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("CUDA_LAUNCH_BLOCKING", "1", True),
        ("CUDA_LAUNCH_BLOCKING", "yes please", False),
        ("TORCH_CUDA_ARCH_LIST", "5.2 6.0 7.5 8.0 8.6 9.0+PTX", True),
        ("TORCH_CUDA_ARCH_LIST", "8.0;9.0a;10.0+PTX", True),
        ("TORCH_CUDA_ARCH_LIST", "Ampere", True),
        ("TORCH_CUDA_ARCH_LIST", "Volta;Turing+PTX", True),
        ("TORCH_CUDA_ARCH_LIST", "sm_80", False),
        ("TORCH_CUDA_ARCH_LIST", "80", False),
        ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", True),
        ("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:512,roundup_power2_divisions:[256:1,512:2,>:4]", True),
        ("PYTORCH_CUDA_ALLOC_CONF", "backend:cudaMallocAsync,", True),
        ("PYTORCH_CUDA_ALLOC_CONF", "password:hunter2", False),
        ("NCCL_SOCKET_IFNAME", "^docker0,lo", True),
        ("NCCL_SOCKET_IFNAME", "==eth0", True),
        ("NCCL_SOCKET_IFNAME", "/home/anna/secret", False),
        ("NCCL_IB_HCA", "=mlx5_0:1,mlx5_1:1", True),
        ("NCCL_DEBUG", "info", True),
        ("NCCL_DEBUG", "everything", False),
        ("NCCL_P2P_LEVEL", "NVL", True),
    ],
)
def test_forms(name, value, kept):
    assert (re.fullmatch(FORMS[name], value) is not None) is kept


def test_values_of_other_forms_are_not_kept(tmp_path):
    found, seen, _ = look(tmp_path, {"NCCL_DEBUG": "hunter2", "CUDA_HOME": "/srv/hunter2", "SOMETHING": "hunter2"})
    assert found["environment.NCCL_DEBUG"].failure.startswith("set, and of no known form")
    assert found["environment.CUDA_HOME"].value == "missing"
    assert "hunter2" not in seen


def test_what_paths_lead_to(tmp_path):
    toolkit = write(tmp_path, "/toolkit/bin/nvcc").parents[1]
    empty = tmp_path / "empty"
    empty.mkdir()
    environ = {"CUDA_HOME": str(toolkit), "CUDA_PATH": str(empty), "NCCL_TOPO_FILE": "", "CUDA_INJECTION64_PATH": "/no"}
    found, seen, _ = look(tmp_path, environ)
    assert found["environment.CUDA_HOME"].value == "exists"
    assert found["environment.CUDA_PATH"].value == "no-compiler"
    assert found["environment.NCCL_TOPO_FILE"].value == "empty"
    assert found["environment.CUDA_INJECTION64_PATH"].value == "missing"
    assert str(tmp_path) not in seen


def test_libraries_that_come_first(tmp_path):
    folder = tmp_path / "cuda" / "lib64"
    real = write(folder, "libnvJitLink.so.12.1.105")
    (folder / "libnvJitLink.so.12").symlink_to(real.name)
    write(folder, "libfoo.so.1")
    other = write(tmp_path / "second", "libnvJitLink.so.12")
    environ = {
        "LD_LIBRARY_PATH": f"/nowhere/at/all:{folder}:{other.parent}",
        "LD_PRELOAD": f"/opt/jemalloc/libjemalloc.so.2 {other.parent}/libcublas.so.12",
    }
    found, seen, readings = look(tmp_path, environ)
    first = [(one.source, *one.value) for one in readings if one.name == "cuda.library_first"]
    assert first == [
        ("LD_PRELOAD", "libcublas.so.12", f"{other.parent}/libcublas.so.12", "libcublas.so.12"),
        ("LD_LIBRARY_PATH", "libnvJitLink.so.12", f"{folder}/libnvJitLink.so.12", "libnvJitLink.so.12.1.105"),
    ]
    assert "jemalloc" not in seen
    assert "nowhere" not in seen
    assert "environment.LD_LIBRARY_PATH" not in found


def test_names_of_files_that_set_variables(tmp_path):
    write(tmp_path, "/etc/profile.d/cuda.sh", "export CUDA_LAUNCH_BLOCKING=1\nexport TOKEN=hunter2\n")
    write(tmp_path, "/etc/environment", "# NCCL_DEBUG=INFO\nNCCL_DEBUG=WARN\n")
    home = write(tmp_path, "/home/anna/.bashrc", "CUDA_LAUNCH_BLOCKING=0\n").parent
    found, seen, _ = look(tmp_path, {"CUDA_LAUNCH_BLOCKING": "1", "NCCL_DEBUG": "WARN", "HOME": str(home)})
    assert found["environment_set_in.CUDA_LAUNCH_BLOCKING"].value == ("/etc/profile.d/cuda.sh", "~/.bashrc")
    assert found["environment_set_in.NCCL_DEBUG"].value == ("/etc/environment",)
    assert "hunter2" not in seen


def test_a_comment_sets_nothing(tmp_path):
    write(tmp_path, "/etc/environment", "# NCCL_DEBUG=INFO\n")
    assert "environment_set_in.NCCL_DEBUG" not in look(tmp_path, {"NCCL_DEBUG": "INFO"})[0]


def test_what_interfaces_are_compared_with(tmp_path):
    write(tmp_path, "/sys/class/net/eth0/type")
    found, _, _ = look(tmp_path, {"NCCL_SOCKET_IFNAME": "ib0"})
    assert found["nccl.interfaces"].value == ("eth0",)
    assert "nccl.interfaces" not in look(tmp_path, {})[0]


def test_the_file_of_nccl():
    text = "# all jobs\nNCCL_DEBUG=WARN\n NCCL_SOCKET_IFNAME==eth0 \nNCCL_TOKEN=x\nNCCL_P2P_DISABLE=maybe\nPATH=/x\n"
    found = parse_nccl_conf(text)
    assert found == {"NCCL_DEBUG": "WARN", "NCCL_SOCKET_IFNAME": "=eth0", "NCCL_P2P_DISABLE": None}


def test_capabilities_of_a_container(tmp_path):
    write(tmp_path, "/proc/self/status", "Name:\tpython3\nCapEff:\t00000000a80425fb\n")
    machine = Machine(gpu_state=GpuState.USABLE, host=Host(container="docker"))
    found, _, _ = look(tmp_path, {"NCCL_CUMEM_HOST_ENABLE": "1"}, machine)
    assert found["process.has_sys_nice"].value is False
    assert parse_capabilities("CapEff:\t000001ffffffffff\n") == 0x1FFFFFFFFFF
    assert parse_capabilities("") is None


MOUNTS = """/dev/nvme0n1p2 / ext4 rw,relatime 0 0
fileserver:/home /home nfs4 rw,vers=4.2 0 0
tmpfs /home/anna/my\\040ram tmpfs rw 0 0
/dev/nvme1n1 /homework xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/anna/.nv/ComputeCache", "nfs4"),
        ("/home/anna/my ram/x", "tmpfs"),
        ("/homework/x", "xfs"),
        ("/homeless", "ext4"),
        ("/", "ext4"),
    ],
)
def test_filesystem_of_a_path(path, kind):
    assert parse_filesystem(MOUNTS, path) == kind


def test_filesystem_without_mounts():
    assert parse_filesystem("", "/x") is None


def test_a_cache_on_the_network_is_not_touched(tmp_path, monkeypatch):
    write(tmp_path, "/proc/self/mounts", MOUNTS)
    touched = []
    monkeypatch.setattr(variables.os, "access", lambda *given: touched.append(given))
    found, _, _ = look(tmp_path, {"HOME": "/home/anna"})
    assert found["cuda.jit_cache.filesystem"].value == "nfs4"
    assert found["cuda.jit_cache.is_writable"].failure
    assert touched == []


def test_a_cache_that_may_not_be_written(tmp_path, monkeypatch):
    write(tmp_path, "/proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n")
    monkeypatch.setattr(variables.os, "access", lambda place, _: place != str(tmp_path))
    assert look(tmp_path, {"HOME": str(tmp_path)})[0]["cuda.jit_cache.is_writable"].value is False


def test_a_cache_by_variable(tmp_path):
    write(tmp_path, "/proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n")
    found, seen, _ = look(tmp_path, {"CUDA_CACHE_PATH": str(tmp_path / "deep" / "cache"), "HOME": "/root"})
    assert found["cuda.jit_cache.is_writable"].value is True
    assert found["cuda.jit_cache.is_writable"].source == "CUDA_CACHE_PATH"
    assert "deep" not in seen


def test_nothing_is_looked_at_without_a_gpu(tmp_path):
    assert look(tmp_path, {"NCCL_DEBUG": "INFO"}, Machine(gpu_state=GpuState.NONE))[2] == ()
