"""Reading an environment: what the scan sees, and that it leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from provision.detect import environment_scan
from provision.detect.environment_scan import parse_metadata, parse_pyvenv, parse_torch_version, scan
from provision.detect.probes.python_packages import parse_import, read_environment, read_import
from provision.detect.surroundings import Surroundings
from provision.process import Completed
from provision.records import Machine
from tests.boxes.environments import Env, with_torch

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine()


def listing(root: Path) -> dict[str, tuple[float, float, int]]:
    """Times and sizes of everything below a folder."""
    found = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_mtime, status.st_ctime, status.st_size)
    return found


def around(path: str, **more: Any) -> Surroundings:
    found = Surroundings(python=sys.executable, **more)
    found.answer("env.path", lambda: path)
    return found


def values(readings: Any, name: str) -> list[Any]:
    return [one.value if one.failure is None else one.failure for one in readings if one.name == name]


# --- the scan -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["venv", "uv", "virtualenv", "conda"])
def test_a_cuda_build_is_read_from_its_files(tmp_path, kind):
    found = scan(str(with_torch("2.9.1", "cu128", kind=kind).write(tmp_path)))
    assert (found["kind"], found["python"]["version"], found["python_h"]) == (kind, "3.12.3", True)
    assert found["torch"]["version"] == "2.9.1+cu128"
    assert (found["torch"]["cuda"], found["torch"]["cuda_library"], found["torch"]["ptxas"]) == ("12.8", True, True)
    held = {row[0]: row for row in found["distributions"]}
    assert held["torch"][1:4] == ["2.9.1", "uv" if kind == "uv" else "pip", "index"]
    assert held["torch"][5] == "cp312-cp312-manylinux_2_28_x86_64"
    assert ["torch", 'nvidia-cublas-cu12==12.8.4.1; platform_system == "Linux"'] in found["requires"]
    assert found["torch_version_as_recorded"] is True
    assert (found["missing"], found["shared"], found["broken"], found["duplicates"]) == ([], [], [], [])


def test_libraries_that_are_gone_or_owned_twice_are_told(tmp_path):
    env = with_torch("2.9.1", "cu128").remove("nvidia/cudnn")
    env.dist("nvidia-nccl-cu13", "2.29.7", files={"nvidia/nccl/lib/libnccl.so.9": ""})
    found = scan(str(env.write(tmp_path)))
    assert found["missing"] == [["nvidia-cudnn-cu12", 1, "nvidia/cudnn/lib/libcudnn.so.9"]]
    assert found["shared"] == [["nvidia-nccl-cu12", "nvidia-nccl-cu13", 1, "nvidia/nccl/lib/libnccl.so.9"]]


def test_leftovers_and_broken_metadata_are_told(tmp_path):
    env = (
        Env()
        .file("lib/python3.12/site-packages/~orch/version.py", "")
        .file("lib/python3.12/site-packages/torch-2.9.1.dist-info/RECORD", "")
    )
    broken = scan(str(env.write(tmp_path)))["broken"]
    assert broken[0] == "torch-2.9.1.dist-info has no readable METADATA"
    assert broken[1].startswith("~orch: left over")


def test_conda_packages_keep_the_name_of_their_channel_alone(tmp_path):
    text = '{"channel": "https://user:secret@conda.example/t/token/pytorch/linux-64", "name": "pytorch"}'
    env = with_torch(kind="conda").file("conda-meta/pytorch-2.5.1-py3.12_cuda12.4_0.json", text)
    env.file("conda-meta/zlib-1.3-h_0.json", "{}")
    found = scan(str(env.write(tmp_path)))
    assert ["pytorch", "2.5.1", "pytorch"] in found["conda"]
    assert [row[0] for row in found["conda"]] == ["python", "pytorch"]
    assert "secret" not in json.dumps(found)


def test_an_address_of_a_direct_url_is_not_kept(tmp_path):
    stated = {"url": "https://user:secret@host.example/torch.whl", "archive_info": {"hashes": {"sha256": "a" * 64}}}
    env = (
        Env()
        .dist("torch", "2.9.1", direct_url=stated)
        .dist("x", "1", direct_url={"url": "file:///h/x", "dir_info": {"editable": True}})
    )
    found = scan(str(env.write(tmp_path)))
    rows = {row[0]: row[3:5] for row in found["distributions"]}
    assert rows == {"torch": ["url", "a" * 64], "x": ["editable", None]}
    assert "host.example" not in json.dumps(found)


def test_what_the_base_has_counts_where_the_environment_sees_it(tmp_path):
    base = with_torch("2.13.0", "cu130").write(tmp_path / "base")
    env = Env().file("pyvenv.cfg", f"home = {base}/bin\ninclude-system-site-packages = true\nversion = 3.12.3\n")
    env.dist("numpy", "1.26.4")
    found = scan(str(env.write(tmp_path / "env")))
    assert found["sees_system"] is True
    assert found["torch"]["version"] == "2.13.0+cu130"
    assert next(row for row in found["distributions"] if row[0] == "numpy")[1] == "1.26.4"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: root / "nowhere", "is not there"),
        (lambda root: (root / "file").write_text("x") and root / "file", "is a file"),
        (lambda root: root, "neither pyvenv.cfg nor conda-meta nor lib/python3"),
        (lambda root: Env().write(root / ".venv").parent, ".venv in it is one"),
    ],
)
def test_a_path_that_is_no_environment_says_why(tmp_path, make, says):
    assert says in scan(str(make(tmp_path)))["failure"]


def test_the_prefix_of_the_system_is_an_environment(tmp_path):
    env = Env().file("lib/python3/dist-packages/six-1.16.0.egg-info", "")
    env.files.pop("pyvenv.cfg")
    found = scan(str(env.write(tmp_path)))
    assert found["kind"] == "system"
    assert ["six", "1.16.0", None, "unknown", None, None] in found["distributions"]


def test_a_broken_receipt_is_no_receipt(tmp_path):
    env = with_torch().file("gpusetup-receipt.json", '{"receipt": {}}')
    assert scan(str(env.write(tmp_path)))["receipt"] == {"failure": "it can't be read"}


# --- parsers --------------------------------------------------------------------------------------


def test_torch_version_files():
    text = (
        "from typing import Optional\n\n__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'xpu']\n"
        "__version__ = '2.9.1+cu128'\ndebug = False\ncuda: Optional[str] = '12.8'\n"
        "git_version = '5811a8d7da873dd699ff6687092c225caffcf1bb'\nhip: Optional[str] = None\n"
    )
    assert parse_torch_version(text) == {
        "version": "2.9.1+cu128",
        "cuda": "12.8",
        "hip": None,
        "git": "5811a8d7da873dd699ff6687092c225caffcf1bb",
        "debug": False,
    }
    assert parse_torch_version("")["version"] is None


def test_metadata_ends_before_the_description():
    text = (
        "Metadata-Version: 2.4\nName: Torch\nVersion: 2.9.1\nRequires-Dist: sympy>=1.13.3\n\nVersion: 9\nName: other\n"
    )
    assert parse_metadata(text) == {"name": "Torch", "version": "2.9.1", "requires": ["sympy>=1.13.3"]}


def test_pyvenv_settings():
    text = "home = /usr/bin\nimplementation = CPython\nuv = 0.9.2\nversion_info = 3.12.3\n"
    assert parse_pyvenv(text)["uv"] == "0.9.2"
    assert parse_pyvenv("no line\n") == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('a banner\n{"seconds": 1.9, "arch": []}\n', 1.9),
        ('{"seconds": 1.9, "arch": []}\nsaid at exit\n', 1.9),
        ("", None),
        ("{broken\n", None),
        ('{"other": 1}\n', None),
    ],
)
def test_the_child_is_understood_among_other_words(text, seconds):
    told = parse_import(text)
    assert (told and told["seconds"]) == seconds


# --- the probe ------------------------------------------------------------------------------------


def test_without_an_environment_nothing_is_read():
    assert tuple(read_environment(Surroundings(), MACHINE)) == ()
    assert tuple(read_import(Surroundings(), MACHINE)) == ()


def test_a_scan_leaves_no_trace(tmp_path):
    root = with_torch("2.9.1", "cu128").receipt("2.9.1", "cu128", {"torch": "2.9.1"}).write(tmp_path / "env")
    before = listing(root)
    readings = tuple(read_environment(around(str(root)), MACHINE))
    assert values(readings, "env.torch_version") == ["2.9.1+cu128"]
    assert values(readings, "env.python_tag") == ["cp312"]
    assert values(readings, "env.receipt") == [("2.9.1", "cu128")]
    assert listing(root) == before


def test_a_filesystem_that_hangs_costs_a_deadline_only():
    def run(argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), timed_out=True)

    (only,) = read_environment(around("/slow", runner=run), MACHINE)
    assert only.name == "env.path"
    assert "may hang" in (only.failure or "")


def test_a_scan_that_dies_says_so():
    def run(argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), returncode=1, stderr="Traceback\nMemoryError\n")

    (only,) = read_environment(around("/x", runner=run), MACHINE)
    assert only.failure == "/x could not be read: MemoryError"


def test_an_import_is_timed_in_a_child_that_leaves_no_trace(tmp_path):
    """A real virtual environment with a torch that is one file."""
    root = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    site = next((root / "lib").glob("python3*/site-packages"))
    (site / "torch").mkdir()
    (site / "torch/version.py").write_text("__version__ = '2.9.1+cu128'\ncuda = '12.8'\n")
    (site / "torch/__init__.py").write_text(
        "import types\nfrom . import version\n__version__ = version.__version__\n"
        "cuda = types.SimpleNamespace(get_arch_list=lambda: [])\n"
        "_C = types.SimpleNamespace(_cuda_getArchFlags=lambda: 'sm_80 sm_90')\n"
        "backends = types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 91002))\n"
    )
    before = listing(root)
    readings = tuple(read_import(around(str(root)), MACHINE))
    assert values(readings, "env.arch_list") == [("sm_80", "sm_90")]
    assert values(readings, "env.cudnn") == [91002]
    assert 0 <= values(readings, "env.import_s")[0] < 30
    assert listing(root) == before
    (site / "torch/__init__.py").write_text("raise OSError('libcudart.so.12: cannot open shared object file')\n")
    (failed,) = read_import(around(str(root)), MACHINE)
    assert failed.failure == "OSError: libcudart.so.12: cannot open shared object file"


def test_a_snapshot_answers_as_the_machine_did(tmp_path):
    root = with_torch().write(tmp_path / "env")
    live = around(str(root))
    first = tuple(read_environment(live, MACHINE))
    from provision.detect.memory import Replay

    replayed = Surroundings(environ={}, memory=Replay(live.memory.looks))  # type: ignore[attr-defined]
    assert tuple(read_environment(replayed, MACHINE)) == first


def test_a_scan_of_many_distributions_takes_a_moment(tmp_path):
    env = with_torch("2.9.1", "cu128")
    for number in range(200):
        env.dist(f"package{number}", "1.0", files={f"package{number}/__init__.py": ""})
    root = str(env.write(tmp_path))
    began = time.perf_counter()
    found = scan(root)
    assert len(found["distributions"]) > 200
    assert time.perf_counter() - began < 2.0


def test_the_child_imports_the_standard_library_alone():
    command = [sys.executable, "-I", "-S", "-X", "importtime", environment_scan.__file__, "/nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == {"failure": "/nowhere is not there"}
    assert "packaging" not in ended.stderr
