"""What a source, a download or a place can do wrong: each a finding with its cure; the old environment still works."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import index as bench_index
import pytest
from install_orders import QUICK, TAG, build

from provision.errors import GpusetupError, InstallError
from provision.explain import page
from provision.install import disk
from provision.install.apply import Order, install
from provision.install.causes import CAUSES, cause_of, clock_fault, source_in
from provision.install.configuration import read_configuration
from provision.install.fetching import Deadlines
from provision.records import Interpreter

CANARY = "c4n4ry-w0rd"
LIMITS = replace(QUICK, sources=Deadlines(silence_s=0.4, overall_s=1.5), silence_s=8.0)
NUMPY = "/general/numpy/numpy-2.1.0-py3-none-any.whl$"
SIGN_IN = "<html><form action=/login><input name=user></form></html>"


class Box:
    """A server that wants a login, an environment that works, and what tries to replace it."""

    def __init__(self, site: Path, folder: Path, address: str, behaviour: bench_index.Behaviour) -> None:
        self.site, self.folder, self.behaviour = site, folder, behaviour
        self.base = address.replace("://", f"://robot:{CANARY}@")
        self.shown = address
        self.env = folder / "env"
        self.store = folder / ".env.gpusetup"

    def order(self, digest: str = "new", *, environ=None, **more) -> Order:
        network = {"PIP_TIMEOUT": "1", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
        sources = {"UV_DEFAULT_INDEX": f"{self.base}/general", "GPUSETUP_TORCH_INDEX": f"{self.base}/whl"}
        return Order(
            candidates=(build(),),
            plan_digest=digest,
            environment=more.pop("env", self.env),
            interpreters=(Interpreter(sys.version.split()[0], executable=sys.executable),),
            configuration=read_configuration({**network, **sources, **(environ or {})}),
            limits=LIMITS,
            compile_bytecode=False,
            builtin=lambda: None,
            **more,
        )

    def fails(self, order: Order) -> GpusetupError:
        """The error of an install; nothing else has changed."""
        before = self.env.resolve()
        events = []
        with pytest.raises(GpusetupError) as caught:
            install(order, events.append)
        error = caught.value
        assert self.env.resolve() == before
        done = subprocess.run([self.env / "bin/python", "-Ic", "import torch, numpy"], check=False)
        assert done.returncode == 0, "the old environment works"
        assert {item.name for item in self.store.iterdir()} <= {before.name, "lock", "install.log"}
        said = [error.happened, *error.do, *error.risky, repr(error.evidence), repr(events)]
        said += [path.read_text(errors="replace") for path in self.store.glob("install.log")]
        assert CANARY not in "\n".join(said)
        assert error.do, ("there is a cure", error.evidence)
        assert page(error.code), "gpusetup explain knows it"
        return error


@pytest.fixture(scope="module")
def own_site(tmp_path_factory):
    return bench_index.make_index(tmp_path_factory.mktemp("fault-site"), pythons=(TAG,))


@pytest.fixture(scope="module")
def made(own_site, tmp_path_factory):
    """One environment for all cases: a fault leaves it as it was."""
    folder = tmp_path_factory.mktemp("box")
    with bench_index.serving(own_site) as (address, behaviour), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
            patch.delenv(name)
        patch.setenv("UV_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NETRC", os.devnull)
        behaviour.login = ("robot", CANARY)
        box = Box(own_site, folder, address, behaviour)
        install(box.order("old"))
        yield box


@pytest.fixture
def box(made, monkeypatch):
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(made.folder / "own-cache"))
    yield made
    made.behaviour.faults.clear()
    made.behaviour.login = ("robot", CANARY)
    (made.store / "install.log").unlink(missing_ok=True)


slow = pytest.mark.e2e

# (backend, path that is served wrong, fault, finding, exit code)
CASES = [
    # every source fails when it is asked for torch
    ("uv", "/", 401, "source-login", 4),
    ("uv", "/", 500, "source-failed", 4),
    ("uv", "/", SIGN_IN, "source-not-an-index", 4),
    ("uv", "/", "break", "download-broken", 4),
    ("uv", "/", "hang", "source-unreachable", 4),
    pytest.param("uv", "/", "drip", "source-too-slow", 4, marks=slow),
    pytest.param("uv", "/", "huge", "source-not-an-index", 4, marks=slow),
    # one of them answers and does not hold it
    ("uv", "/whl", 404, "not-in-sources", 4),
    pytest.param("uv", "/whl", 503, "not-in-sources", 4, marks=slow),
    # torch is there, a page that the resolver needs is not
    ("uv", "/general/numpy/$", 401, "source-login", 4),
    pytest.param("uv", "/general/numpy/$", 403, "source-login", 4, marks=slow),
    ("uv", "/general/numpy/$", 404, "not-in-sources", 4),
    ("uv", "/general/numpy/$", 500, "source-failed", 5),
    pytest.param("uv", "/general/numpy/$", "hang", "source-unreachable", 5, marks=slow),
    ("uv", "/general/numpy/$", "nameless", "source-not-an-index", 5),
    pytest.param("uv", "/general/numpy/$", SIGN_IN, "not-in-sources", 4, marks=slow),
    # the pages are there, a file is not what they promise
    ("uv", NUMPY, 404, "file-gone", 5),
    pytest.param("pip", NUMPY, 404, "file-gone", 5, marks=slow),
    ("uv", NUMPY, 403, "source-login", 5),
    pytest.param("pip", NUMPY, 403, "source-login", 5, marks=slow),
    pytest.param("uv", NUMPY, 500, "source-failed", 5, marks=slow),
    pytest.param("pip", NUMPY, 500, "source-failed", 5, marks=slow),
    ("uv", NUMPY, "break", "download-broken", 5),
    pytest.param("pip", NUMPY, "break", "hash-mismatch", 5, marks=slow),
    pytest.param("uv", NUMPY, "hang", "source-unreachable", 5, marks=slow),
    pytest.param("pip", NUMPY, "hang", "source-unreachable", 5, marks=slow),
    ("uv", NUMPY, "cut", "wheel-malformed", 5),
    pytest.param("pip", NUMPY, "cut", "hash-mismatch", 5, marks=slow),
    pytest.param("uv", NUMPY, SIGN_IN, "wheel-malformed", 5, marks=slow),
    ("pip", NUMPY, SIGN_IN, "hash-mismatch", 5),
]


@pytest.mark.parametrize(("backend", "path", "fault", "code", "exit_code"), CASES)
def test_fault_of_a_source(box, backend, path, fault, code, exit_code):
    box.behaviour.faults[path] = fault
    error = box.fails(box.order(backend=backend))
    assert (error.code, error.exit_code) == (code, exit_code), (error.happened, error.evidence)
    if code not in ("not-in-sources", "hash-mismatch"):
        assert box.shown in error.happened, "the sentence names the source"


def test_wrong_login(box):
    box.behaviour.login = ("robot", "another")
    error = box.fails(box.order())
    assert (error.code, error.exit_code) == ("source-login", 4)
    assert "~/.netrc" in error.do[0]


def test_nobody_listens(box):
    error = box.fails(replace(box.order(), configuration=read_configuration(ONLY_CLOSED)))
    assert (error.code, error.exit_code) == ("source-unreachable", 4)
    assert "http://127.0.0.1:9" in error.happened


ONLY_CLOSED = {
    "PIP_CONFIG_FILE": os.devnull,
    "UV_NO_CONFIG": "1",
    "UV_DEFAULT_INDEX": f"http://me:{CANARY}@127.0.0.1:9/simple",
    "GPUSETUP_TORCH_INDEX": f"http://me:{CANARY}@127.0.0.1:9/whl",
}


def test_redirect_without_end(box):
    box.behaviour.faults["/"] = f"to {box.shown}"
    assert box.fails(box.order()).code == "source-failed"


# --- wheels that are wrong at their source


def wheel_with(path: Path, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


@pytest.fixture
def folder_of_wheels(own_site, tmp_path):
    """Find-links: every wheel that is needed, without any page."""
    folder = tmp_path / "links"
    folder.mkdir()
    for path in [*own_site.glob("general/*/*.whl"), *own_site.glob("whl/cpu/torch/*.whl")]:
        if "general/torch" not in str(path):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def from_folder(box, folder, **more):
    environ = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1"}
    return replace(box.order(**more), configuration=read_configuration(environ))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda path: path.read_bytes()[:-60], "File is not a zip file"),
        (lambda path: wheel_with(path, {"../../../../outside.txt": b"x"}), "../../../../outside.txt"),
        (lambda path: wheel_with(path, {"/tmp/outside.txt": b"x"}), "/tmp/outside.txt"),  # noqa: S108
        (lambda path: wheel_with(path, {"numpy/zeros": b"\0" * (2**22)}), "bytes unpacked of"),
    ],
    ids=["truncated", "climbs out", "absolute", "bomb"],
)
def test_wheel_on_this_disk_that_is_not_sound(box, folder_of_wheels, change, found, monkeypatch):
    monkeypatch.setattr(disk, "_HARMLESS_BYTES", 2**20)
    path = folder_of_wheels / "filelock-3.15.0-py3-none-any.whl"
    # Metadata is read from the archive here, so it must be one for the resolver; the installer's look comes first.
    path.write_bytes(change(path))
    error = box.fails(from_folder(box, folder_of_wheels))
    assert error.code == "wheel-malformed", (error.happened, error.evidence)
    if "zip" not in found:
        assert found in str(error.evidence[0].value)
        assert error.evidence[0].name == path.name


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=slow)])
def test_wheel_from_the_network_that_climbs_out_writes_nothing_outside(box, tmp_path, backend):
    """uv leaves such a file out, pip refuses the whole wheel; neither writes it."""
    site = bench_index.make_index(tmp_path / "site", pythons=(TAG,))
    path = site / "general/filelock/filelock-3.15.0-py3-none-any.whl"
    path.write_bytes(wheel_with(path, {"../../../../../outside.txt": b"x", f"{tmp_path}/outside.txt": b"x"}))
    bench_index.write_pages(site)
    with bench_index.serving(site) as (address, _):
        environ = {"UV_DEFAULT_INDEX": f"{address}/general", "GPUSETUP_TORCH_INDEX": f"{address}/whl"}
        order = box.order(environ=environ, env=tmp_path / "other", backend=backend)
        if backend == "uv":
            install(order)
        else:
            with pytest.raises(InstallError) as caught:
                install(order)
            assert caught.value.code == "wheel-malformed", caught.value.evidence
    assert not list(tmp_path.rglob("outside.txt"))
    assert not (tmp_path.parent / "outside.txt").exists()


# --- places


def full(*_args, **_more):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_that_fills_while_the_environment_is_made(box, monkeypatch):
    from provision.install import apply

    monkeypatch.setattr(apply, "write_receipt", full)
    error = box.fails(box.order())
    assert (error.code, error.exit_code) == ("disk-full", 5)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (lambda folder: folder / "file/env", "Not a directory"),
        (lambda folder: folder / ("x" * 250), "File name too long"),
    ],
)
def test_place_that_cannot_be(box, tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    error = box.fails(box.order(env=place(tmp_path)))
    assert error.code == "environment-not-writable"
    assert reason in repr(error.evidence)


def test_long_path_is_no_obstacle(box, tmp_path):
    """Longer than the kernel's limit for the line that names an interpreter (127 or 255 bytes)."""
    deep = tmp_path / ("d" * 100) / ("e" * 100) / ("f" * 100)
    receipt = install(box.order(env=deep / "env"))
    assert receipt.verified


def without_exec(_folder):
    return os.statvfs_result((4096, 4096, 10**6, 10**6, 10**6, 10**6, 10**6, 10**6, os.ST_NOEXEC, 255))


def refusing(number):
    def refuse(*_args, **_more):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("what", "name", "instead", "code"),
    [
        (os, "statvfs", without_exec, "environment-not-executable"),
        (Path, "symlink_to", refusing(errno.EPERM), "environment-without-links"),
        (fcntl, "flock", refusing(errno.ENOLCK), "environment-without-locks"),
        (fcntl, "flock", refusing(errno.ENOSYS), "environment-without-locks"),
        (fcntl, "flock", refusing(errno.EIO), "environment-not-writable"),
    ],
)
def test_file_system_that_lacks_something(box, monkeypatch, what, name, instead, code):
    with monkeypatch.context() as patch:
        patch.setattr(what, name, instead)
        with pytest.raises(InstallError) as caught:
            install(box.order())
    assert caught.value.code == code
    assert box.env.exists()
    assert page(code)


# --- the words themselves


@pytest.mark.parametrize("code", sorted(CAUSES))
def test_every_cause_has_a_cure_and_a_page(code):
    cause = CAUSES[code]
    assert cause.do
    assert cause.sentence.endswith(".")
    assert page(code)


@pytest.mark.parametrize(
    ("lines", "code", "source"),
    [
        (
            ("error: Failed to fetch: https://h:8/s/numpy/", "  cause: invalid peer certificate: UnknownIssuer"),
            "source-not-trusted",
            "https://h:8/s/numpy/",
        ),
        (
            (
                "error: Failed to fetch: `https://h/s/`",
                "  cause: invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)",
            ),
            "certificate-not-valid",
            "https://h/s/",
        ),
        (
            ("ERROR: HTTPSConnectionPool(host='h', port=443): Max retries exceeded",),
            "source-unreachable",
            "https://h:443",
        ),
        (("  cause: No space left on device (os error 28)",), "disk-full", None),
        (
            ("error: failed to create file", "  cause: Read-only file system (os error 30)"),
            "environment-not-writable",
            None,
        ),
        (("  cause: tunnel error: failed to create underlying connection", "407"), "proxy-login", None),
        (("error: something new",), None, None),
    ],
)
def test_last_words_of_an_installer(lines, code, source):
    found = cause_of(lines)
    assert (found.code if found else None) == code
    assert source_in(lines) == source


def test_a_wrong_clock_is_told_from_a_wrong_certificate():
    day = 86400.0
    noon = 20_000 * day + day / 2  # 2024-10-04
    assert clock_fault(noon, known_day="2024-10-01", server=noon + 100) is None
    assert clock_fault(noon, known_day=None, server=None) is None
    assert clock_fault(noon, known_day="no day", server=None) is None
    said = clock_fault(noon, known_day="2026-11-20", server=None)
    assert said == "the clock says 2024-10-04 12:00 UTC, and the facts of this release were read on 2026-11-20"
    said = clock_fault(noon, known_day=None, server=noon + 365 * day)
    assert said == "the clock says 2024-10-04 12:00 UTC, that of the source 2025-10-04 12:00 UTC"


def test_digests_of_the_bench_are_real(own_site):
    path = next(own_site.glob("general/numpy/numpy-2*.whl"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() in (path.parent / "index.html").read_text()
