"""Sources that hold other files under the same names: refused, left alone, or told. Real resolutions of stub wheels."""

from __future__ import annotations

import shutil

import index as bench_index
import pytest
from install_orders import TAG, build

from provision.errors import InstallError
from provision.install.apply import install, rehearse
from provision.install.configuration import Location, read_configuration
from provision.install.foreign import judge
from provision.install.listing import ListedFile
from provision.install.lock import LockedWheel
from provision.install.offers import Offer
from provision.pipeline import rehearsal_findings
from provision.records import Source

NO_FILES = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"}


@pytest.fixture
def sources(site, tmp_path):
    """A copy of the usual indexes, a foreign index beside them, and the server over all of it."""
    root = tmp_path / "site"
    shutil.copytree(site, root)
    cuda = root / "whl/cu124"
    bench_index.make_torch(
        cuda / "torch", "2.5.1+cu124", "12.4", python=TAG, requires=("nvidia-cublas>=12.4", "triton==3.1", "filelock")
    )
    for folder, mark in ((root / "general", "GENERAL"), (cuda, "TORCH")):
        bench_index.make_wheel(folder / "nvidia-cublas", "nvidia-cublas", "12.4.5", files={"nvidia/cublas.py": mark})
        bench_index.make_wheel(folder / "triton", "triton", "3.1", files={"triton/__init__.py": mark})
    bench_index.make_wheel(root / "foreign/private", "private", "1.0")
    bench_index.write_pages(root)
    with bench_index.serving(root) as (address, behaviour):
        yield root, address, behaviour


@pytest.fixture
def configured(sources):
    """A function that gives the configuration with the foreign index, and with more variables."""
    _, address, _ = sources

    def make(**values):
        named = {"UV_DEFAULT_INDEX": f"{address}/general", "GPUSETUP_TORCH_INDEX": f"{address}/whl"}
        return read_configuration({**NO_FILES, **named, "UV_INDEX": f"{address}/foreign", **values})

    return make


def held(receipt, name):
    return next((item.version, item.source, item.sha256) for item in receipt.distributions if item.name == name)


def evidence(error):
    return {item.name: (item.value, item.source) for item in error.evidence}


CUDA = build("2.5.1", "cu124", requirements=())
PLAIN = build(requirements=("numpy",))


def test_nothing_is_asked_where_there_is_one_source(order, server):
    install(order(PLAIN))
    assert [path for path in server[1].requests if path.endswith("/numpy/")] == ["/general/numpy/"]


def test_a_foreign_index_that_holds_nothing_costs_one_question_per_project(order, sources, configured):
    _, _, behaviour = sources
    receipt = install(order(PLAIN, configuration=configured()))
    assert receipt.conflicts == ()
    asked = [path for path in behaviour.requests if path.startswith("/foreign/")]
    # uv asks for each project that it resolves, and we for each that came out.
    assert sorted(set(asked)) == ["/foreign/filelock/", "/foreign/numpy/", "/foreign/torch/"]
    assert not [path for path in behaviour.requests if path == "/general/filelock/"][2:]


def test_dependency_confusion_is_told(order, sources, configured):
    root, address, _ = sources
    bench_index.make_wheel(root / "foreign/numpy", "numpy", "99")
    bench_index.write_pages(root)
    receipt = install(order(PLAIN, configuration=configured()))
    (conflict,) = receipt.conflicts
    assert (conflict.kind, conflict.project, conflict.version) == ("other-files", "numpy", "99")
    assert (conflict.source, conflict.other_source) == (f"{address}/foreign", f"{address}/general")
    assert conflict.sha256 == held(receipt, "numpy")[2]
    assert install(order(PLAIN, configuration=configured())).conflicts == receipt.conflicts, "also when it is reused"
    (finding,) = rehearsal_findings(rehearse(order(PLAIN, configuration=configured())))
    assert (finding.id, finding.status) == ("source-conflict", "warn")
    assert finding.happened == (f"numpy 99 comes from {address}/foreign; {address}/general has numpy, not this file.")


def test_a_private_package_is_no_conflict(order, configured):
    receipt = install(order(build(requirements=("private",)), configuration=configured()))
    assert held(receipt, "private")[0] == "1.0"
    assert receipt.conflicts == ()


def test_one_name_with_two_contents_is_refused(order, sources, configured, tmp_path):
    root, address, _ = sources
    bench_index.make_wheel(root / "foreign/numpy", "numpy", "2.1.0", files={"numpy/__init__.py": "EVIL = 1\n"})
    bench_index.write_pages(root)
    with pytest.raises(InstallError) as caught:
        install(order(PLAIN, configuration=configured()))
    error = caught.value
    assert (error.code, error.exit_code) == ("source-conflict", 5)
    seen = evidence(error)
    assert seen["project"][0] == "numpy 2.1.0"
    assert {seen["taken from"][0], seen["and"][0]} == {f"{address}/foreign", f"{address}/general"}
    assert seen["taken from"][1] != seen["and"][1]
    assert all(str(seen[name][1]).startswith("sha256 ") for name in ("taken from", "and"))
    assert not (tmp_path / "env").exists()
    with pytest.raises(InstallError, match="two contents"):
        rehearse(order(PLAIN, configuration=configured()))


@pytest.mark.parametrize("source", ["folder", "index"])
def test_the_same_bytes_elsewhere_are_welcome(order, sources, configured, tmp_path, source):
    root, _, _ = sources
    values = {}
    if source == "folder":
        shutil.copytree(root / "general/numpy", tmp_path / "links")
        values = {"UV_FIND_LINKS": str(tmp_path / "links")}
    else:
        shutil.copytree(root / "general/numpy", root / "foreign/numpy")
    assert install(order(PLAIN, configuration=configured(**values))).conflicts == ()


def test_a_folder_with_other_bytes_is_refused(order, configured, tmp_path):
    bench_index.make_wheel(tmp_path / "links", "numpy", "2.1.0", files={"numpy/__init__.py": "EVIL = 1\n"})
    with pytest.raises(InstallError) as caught:
        install(order(PLAIN, configuration=configured(UV_FIND_LINKS=str(tmp_path / "links"))))
    assert caught.value.code == "source-conflict"


@pytest.mark.parametrize("version", ["12.4.5", "12.9.0"])
@pytest.mark.parametrize("source", ["index", pytest.param("folder", marks=pytest.mark.e2e)])
def test_libraries_of_nvidia_come_from_the_sources_of_the_plan(order, sources, configured, tmp_path, version, source):
    """Higher or with other bytes: the foreign file is left alone, and that of torch's own index taken."""
    root, address, _ = sources
    folder = tmp_path / "links" if source == "folder" else root / "foreign/nvidia-cublas"
    bench_index.make_wheel(folder, "nvidia-cublas", version, files={"nvidia/cublas.py": "EVIL"})
    bench_index.write_pages(root)
    values = {"UV_FIND_LINKS": str(folder)} if source == "folder" else {}
    receipt = install(order(CUDA, configuration=configured(**values)))
    assert held(receipt, "nvidia-cublas")[0] == "12.4.5"
    text = next((tmp_path / "env/lib").glob("python*/site-packages/nvidia/cublas.py")).read_text()
    assert text in {"TORCH", "GENERAL"}
    for conflict in receipt.conflicts:
        assert (conflict.project, conflict.kind) == ("nvidia-cublas", "foreign-left")
        assert conflict.source == f"{address}/whl/cu124"
        assert conflict.sha256 == held(receipt, "nvidia-cublas")[2] != conflict.other_sha256
    # In a folder beside an index of the same version uv takes one of the two; only the foreign one is told.
    assert receipt.conflicts or (source, version) == ("folder", "12.4.5")


def test_triton_of_a_foreign_index_is_left_alone(order, sources, configured, tmp_path):
    root, _, _ = sources
    bench_index.make_wheel(root / "foreign/triton", "triton", "3.1", files={"triton/__init__.py": "EVIL"})
    bench_index.write_pages(root)
    receipt = install(order(CUDA, configuration=configured()))
    assert [item.kind for item in receipt.conflicts] == ["foreign-left"]
    assert next((tmp_path / "env/lib").glob("python*/site-packages/triton/__init__.py")).read_text() == "TORCH"


def test_a_library_that_only_a_foreign_index_holds_is_refused(order, sources, configured):
    root, address, _ = sources
    for place in ("general", "whl/cu124"):
        shutil.rmtree(root / place / "nvidia-cublas")
    bench_index.make_wheel(root / "foreign/nvidia-cublas", "nvidia-cublas", "12.4.5")
    bench_index.write_pages(root)
    with pytest.raises(InstallError) as caught:
        install(order(CUDA, configuration=configured()))
    assert caught.value.code == "source-conflict"
    assert evidence(caught.value)["taken from"][0] == f"{address}/foreign"


def test_torch_of_a_folder_with_other_bytes_than_its_index(order, sources, configured, tmp_path):
    bench_index.make_torch(tmp_path / "links", "2.4.1+cpu", None, python=TAG, extra="EVIL = 1")
    base = f"{sources[1]}/whl"
    wanted = order(build(requirements=(), base=base), configuration=configured(UV_FIND_LINKS=str(tmp_path / "links")))
    with pytest.raises(InstallError) as caught:
        install(wanted)
    assert caught.value.code == "source-conflict"
    assert evidence(caught.value)["project"][0] == "torch 2.4.1+cpu"


def test_a_foreign_index_without_pages_is_no_conflict(order, sources, configured):
    root, _, behaviour = sources
    shutil.copytree(root / "general", root / "foreign", dirs_exist_ok=True)
    behaviour.faults["/foreign/"] = 404
    assert install(order(PLAIN, configuration=configured())).conflicts == ()


# --- the judgement, literals only -----------------------------------------------------------------


def offer(name, *files, failure=None):
    location = Location(Source("index", f"https://{name}", name=name), f"https://{name}")
    listed = tuple(ListedFile(file, f"https://{name}/{file}", sha256=digest) for file, digest in files)
    return Offer(location, listed, failure)


FILE = "numpy-2.1.0-py3-none-any.whl"
WHEEL = LockedWheel("numpy", "2.1.0", FILE, f"https://files/{FILE}", sha256="aa")


@pytest.mark.parametrize(
    ("foreign", "general", "kinds"),
    [
        (offer("f"), offer("g", (FILE, "aa")), []),
        (offer("f", (FILE, "aa")), offer("g", (FILE, "aa")), []),
        (offer("f", (FILE, "bb")), offer("g", (FILE, "aa")), ["same-file"]),
        (offer("f", (FILE, "aa")), offer("g", (FILE, "bb")), ["same-file"]),
        (offer("f", (FILE, "aa")), offer("g", ("numpy-2.0.0-py3-none-any.whl", "cc")), ["other-files"]),
        (offer("f", (FILE, "aa")), offer("g"), []),
        (offer("f", (FILE, "aa")), offer("g", failure="silent"), []),
        (offer("f", (FILE, "aa")), None, []),
        (offer("f", (FILE, None)), offer("g", (FILE, "aa")), []),
        (offer("f", ("numpy-9.0.0-py3-none-any.whl", "cc")), offer("g", (FILE, "aa")), []),
    ],
)
def test_judgement(foreign, general, kinds):
    assert [conflict.kind for conflict in judge(WHEEL, [foreign], general)] == kinds
