"""Fixtures that every part of the test suite may use."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # `pytest` alone, unlike `python -m pytest`, does not put the repository on the path
    sys.path.insert(0, str(ROOT))

# Before torch is imported, as ./run-tests does: OpenMP threads that spin beside a busy process slow every step.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with SIGINT ignored, and children inherit that: tests of Ctrl-C would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from tests.bench import build  # noqa: E402 -- needs the path above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_MOST_WORKERS = 8


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run on every core where pytest-xdist is there and nobody said how many (`-n 0`: one after the other)."""
    if not config.pluginmanager.hasplugin("xdist") or hasattr(config, "workerinput"):
        return
    option = config.option
    if option.numprocesses is None and not option.usepdb and not option.collectonly:
        option.numprocesses = min(os.cpu_count() or 1, _MOST_WORKERS)
        option.dist = "worksteal"


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave nothing in the cache of whoever runs them, read nothing out of it and know no site file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GPUSETUP_SITE", "none")
        yield


class FakeNvml(Protocol):
    def __call__(self, profile: str, *, with_smi: bool = True, **overrides: object) -> dict[str, str]: ...


@pytest.fixture(scope="session")
def fake_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the fake NVML and nvidia-smi; skips where there is no C compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("the fake NVML needs gcc")
    return build.build_fake_nvml(tmp_path_factory.mktemp("fake-nvml"))


@pytest.fixture
def fake_nvml(fake_libraries: Path, tmp_path: Path) -> FakeNvml:
    """`fake_nvml("a100x2", **{"1.err.*": 15})` gives the environment of a program on that box."""
    made = 0

    def make(profile: str, *, with_smi: bool = True, **overrides: object) -> dict[str, str]:
        nonlocal made
        made += 1
        conf = build.write_conf(tmp_path / f"box{made}.conf", profile, **overrides)
        return build.environment(fake_libraries, conf, with_smi=with_smi)

    return make


@pytest.fixture
def tree(tmp_path: Path) -> build.Tree:
    """An empty folder that stands for `/`."""
    root = tmp_path / "root"
    root.mkdir()
    return build.Tree(root)


@pytest.fixture
def profiles() -> Callable[[], list[str]]:
    """Names of the boxes that can be pretended."""
    return build.profile_names
