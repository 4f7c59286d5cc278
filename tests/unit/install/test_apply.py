"""Real installs of stub wheels from a local index."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import index as bench_index
import pytest
from install_orders import PYTHON, QUICK, TAG, build
from packaging.tags import platform_tags

from provision.errors import InstallError, NoBuildError
from provision.install import environment
from provision.install.apply import install, rehearse, reusable
from provision.install.availability import tag_order
from provision.install.configuration import read_configuration
from provision.install.fetching import Deadlines
from provision.install.lock import parse_lock
from provision.install.receipt import read_receipt
from provision.pipeline import unanswered
from provision.records import Interpreter

DISTRIBUTIONS = [("filelock", "3.15.0"), ("numpy", "2.1.0"), ("tokenizers", "0.22.0"), ("torch", "2.4.1+cpu")]
DISTRIBUTIONS += [("transformers", "5.0.0")]


def names(receipt):
    return [(item.name, item.version) for item in receipt.distributions]


def configured(**values):
    """A configuration of these variables only."""
    return read_configuration({"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", **values})


def texts_under(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_both_backends_install_the_same_distributions(order, backend):
    receipt = install(order(backend=backend))
    assert names(receipt) == DISTRIBUTIONS
    assert all(item.sha256 and item.source for item in receipt.distributions)
    assert [item.id for item in receipt.verified] == [
        "installed-distributions",
        "torch-version",
        "torch-cuda-version",
        "numpy-bridge",
        "transformers-bert",
    ]
    assert all(item.passed for item in receipt.verified)
    assert receipt.backend == backend
    assert dict(receipt.seconds).keys() == {"look", "resolve", "venv", "install", "verify"}


@pytest.mark.parametrize("variant", ["cu118", "cu121", "cu124"])
def test_exactly_the_variant_that_was_planned(order, variant):
    receipt = install(order(build(variant=variant, requirements=())))
    assert ("torch", f"2.4.1+{variant}") in names(receipt)


def test_second_install_reuses_and_opens_no_socket(order, server):
    first = install(order())
    asked = len(server[1].requests)
    again = install(order())
    assert again.reused
    assert again.distributions == first.distributions
    assert len(server[1].requests) == asked


def test_other_plan_makes_another_environment_and_keeps_the_old_one(order, tmp_path):
    install(order())
    old = (tmp_path / "env").resolve()
    receipt = install(order(build("2.0.1"), digest="plan-2"))
    assert ("torch", "2.0.1+cpu") in names(receipt)
    assert (tmp_path / "env").resolve() != old
    assert (old / "bin/python").exists()


def test_damaged_environment_is_made_again(order, tmp_path):
    install(order())
    next((tmp_path / "env/lib").glob("python*/site-packages/torch/version.py")).unlink()
    assert reusable(order()) is None
    assert not install(order()).reused


def test_falls_back_to_the_next_candidate_of_the_same_kind(order):
    receipt = install(order(build("2.9.0"), build("2.4.1", "cu121"), build("2.0.1")))
    assert ("torch", "2.0.1+cpu") in names(receipt)


def test_no_source_holds_it_names_every_source(order, server, tmp_path):
    with pytest.raises(NoBuildError) as caught:
        install(order(build("2.9.0", requirements=())))
    assert caught.value.code == "not-in-sources"
    asked = {item.name: item.value for item in caught.value.evidence}
    assert asked == {
        f"{server[0]}/whl/cpu": "2 torch wheels, none of them this build",
        f"{server[0]}/general": "4 torch wheels, none of them this build",
    }
    assert not (tmp_path / "env").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (404, "no torch"),
        (500, "HTTP 500 Internal Server Error"),
        (403, "HTTP 403 Forbidden: it wants other credentials"),
        ("hang", "silent for 0.3 s"),
        ("drip", "not finished within 1 s"),
        ("break", "the answer broke off, 994 bytes are missing"),
        ("<html><form action=/login><input name=user></form></html>", "it is a page with a form"),
    ],
)
def test_source_that_fails_is_named_with_its_reason(order, server, fault, reason):
    server[1].faults["/whl/"] = fault
    with pytest.raises(NoBuildError) as caught:
        install(order(limits=replace(QUICK, sources=Deadlines(silence_s=0.3, overall_s=1.0))))
    assert str(caught.value.evidence[0].value).startswith((reason, "no answer within 1 s"))


def test_a_first_install_that_fails_early_leaves_not_even_the_folders_that_lead_to_it(order, tmp_path):
    with pytest.raises(NoBuildError):
        install(order(build("2.9.0", requirements=()), env=tmp_path / "new" / "place" / "env"))
    assert list(tmp_path.iterdir()) == []


def test_missing_companion_is_exit_4_with_the_resolvers_words(order):
    with pytest.raises(NoBuildError) as caught:
        install(order(build(requirements=("no-such-project",))))
    assert caught.value.exit_code == 4
    output = next(item.value for item in caught.value.evidence if item.name == "output")
    assert "no-such-project was not found" in str(output)


@pytest.mark.parametrize(
    ("backend", "page"),
    [("uv", "index.json"), ("uv", "index.html"), pytest.param("pip", "index.html", marks=pytest.mark.e2e)],
)
def test_file_that_differs_from_its_hash_is_refused(order, site, tmp_path, page, backend):
    """The JSON page states a size too, so there it is the size that differs first."""
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    install(order())
    old = (tmp_path / "env").resolve()
    for path in copy.rglob("index.json"):
        if page != path.name:
            path.unlink()
    bench_index.make_torch(copy / "whl/cpu/torch", "2.4.1+cpu", None, python=TAG, extra="CHANGED = 1")
    with bench_index.serving(copy) as (address, _):
        configuration = read_configuration(torch_index=f"{address}/whl")
        with pytest.raises(InstallError) as caught:
            install(order(digest="plan-2", configuration=configuration, backend=backend))
    assert caught.value.code == "hash-mismatch", caught.value.evidence
    assert (tmp_path / "env").resolve() == old
    log = next(item.value for item in caught.value.evidence if item.name == "log")
    assert Path(str(log)).exists()
    assert sorted(item.name for item in (tmp_path / ".env.gpusetup").iterdir()) == [old.name, "lock"]
    assert str(log) == str(tmp_path / ".env.gpusetup.log")


def test_verification_that_fails_leaves_the_old_environment(order, site, tmp_path):
    folder = tmp_path / "links"
    bench_index.make_torch(folder, "2.5.0+cpu", "12.4", python=TAG)
    configuration = configured(UV_FIND_LINKS=str(folder), UV_DEFAULT_INDEX=f"{site.as_uri()}/general")
    with pytest.raises(InstallError) as caught:
        install(order(build("2.5.0"), configuration=configuration))
    assert caught.value.code == "verification-failed"
    assert [(item.name, item.value, item.needs) for item in caught.value.evidence] == [
        ("torch-cuda-version", "12.4", None),
        ("log", str(tmp_path / ".env.gpusetup.log"), None),
    ]
    assert not (tmp_path / "env").exists()


def test_file_index_with_missing_project_pages(order, site, tmp_path):
    """An extra index that lacks most projects: what is missing there is found on the next."""
    extra = tmp_path / "extra"
    bench_index.make_wheel(extra / "tokenizers", "tokenizers", "0.21.0")
    bench_index.write_pages(extra)
    links = tmp_path / "links"
    bench_index.make_torch(links, "2.4.1+cpu", None, python=TAG)
    values = {
        "PIP_INDEX_URL": f"{site.as_uri()}/general",
        "PIP_EXTRA_INDEX_URL": extra.as_uri(),
        "PIP_FIND_LINKS": str(links),
    }
    receipt = install(order(configuration=configured(**values)))
    assert ("tokenizers", "0.21.0") in names(receipt)
    assert next(item.source for item in receipt.distributions if item.name == "torch") == links.as_uri()


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=pytest.mark.e2e)])
def test_folder_only_without_any_index(order, site, tmp_path, backend):
    folder = tmp_path / "bundle with blank"
    folder.mkdir()
    for path in [*site.glob("general/[!t]*/*.whl"), *site.glob("general/t[!o]*/*.whl"), *site.glob("whl/c*/torch/*")]:
        if path.suffix == ".whl":
            (folder / path.name).write_bytes(path.read_bytes())
    bench_index.make_wheel(folder, "tokenizers", "0.22.0")
    configuration = configured(UV_FIND_LINKS=str(folder), PIP_NO_INDEX="1")
    receipt = install(order(configuration=configuration, backend=backend))
    assert names(receipt) == DISTRIBUTIONS


def test_label_less_wheel_of_the_general_index(order):
    receipt = install(order(build("2.7.0", "cu124", general=True, requirements=())))
    assert ("torch", "2.7.0") in names(receipt)
    assert {item.id: item.found for item in receipt.verified}["torch-version"] == "2.7.0+cu124"


def test_general_index_never_meets_a_plan_of_another_variant(order):
    with pytest.raises(NoBuildError):
        install(order(build("2.7.0", "cpu")))


@pytest.mark.parametrize("backend", ["uv", "pip"])
def test_credentials_stay_in_the_environment(order, server, tmp_path, monkeypatch, backend):
    secret = "s3cr3t-w0rd"  # noqa: S105
    server[1].login = ("robot", secret)
    address = server[0].replace("http://", f"http://robot:{secret}@")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/general")
    configuration = read_configuration(torch_index=f"{address}/whl")
    events = []
    wanted = order(configuration=configuration, backend=backend)
    rehearsal = rehearse(wanted)
    receipt = install(wanted, events.append)
    assert names(receipt) == DISTRIBUTIONS
    assert secret not in repr((rehearsal, receipt, events, configuration))
    assert secret not in texts_under(tmp_path)
    server[1].faults["/whl/cpu/torch/torch-2.4.1"] = 404
    monkeypatch.setenv("UV_NO_CACHE", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(InstallError) as caught:
        install(order(configuration=configuration, backend=backend, digest="plan-2"))
    assert secret not in repr((caught.value.happened, caught.value.evidence))
    assert (tmp_path / ".env.gpusetup.log").exists()
    assert secret not in texts_under(tmp_path)


def test_rehearsal_changes_nothing(order, tmp_path):
    rehearsal = rehearse(order())
    assert [label for label, _ in rehearsal.steps] == ["venv", "install"]
    assert rehearsal.wheel.filename.startswith("torch-2.4.1+cpu")
    assert rehearsal.download_bytes
    assert rehearsal.disk_needed_bytes
    assert not list(tmp_path.glob(".env*"))


def test_receipt_is_inside_the_environment(order, tmp_path):
    receipt = install(order())
    assert read_receipt(tmp_path / "env") == receipt
    python = tmp_path / "env/bin/python"
    answer = subprocess.run(
        [python, "-Ic", "import torch; print(torch.__version__)"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "2.4.1+cpu"


def test_hostile_receipt_is_no_receipt(order, tmp_path):
    install(order())
    path = tmp_path / "env/gpusetup-receipt.json"
    document = json.loads(path.read_text())
    for text in ("", "{}", "[" * 100_000, json.dumps({**document, "receipt": {**document["receipt"], "build": 3}})):
        path.write_text(text)
        assert read_receipt(tmp_path / "env") is None


def test_missing_python_names_those_that_are_there(order):
    wanted = replace(order(), interpreters=(Interpreter("3.6.15", executable="/usr/bin/python3.6"),))
    with pytest.raises(InstallError) as caught:
        install(wanted)
    assert caught.value.code == "python-missing"
    assert caught.value.evidence[0].value == ("3.6.15 /usr/bin/python3.6",)


def test_too_little_disk_names_both_figures(order, monkeypatch):
    monkeypatch.setattr(environment, "free_bytes", lambda _: 1000)
    with pytest.raises(InstallError) as caught:
        install(order())
    assert caught.value.code == "disk-full"
    assert caught.value.evidence[0].value == 1000
    assert int(caught.value.evidence[0].needs) > 1000


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=pytest.mark.e2e)])
def test_credentials_of_the_torch_index_alone(order, site, server, backend, monkeypatch):
    """Only torch's index wants a login; its files get it too, other hosts do not."""
    monkeypatch.setenv("UV_NO_CACHE", "1")
    server[1].login = ("robot", "s3cr3t w0rd/")
    address = server[0].replace("http://", "http://robot:s3cr3t%20w0rd%2F@")
    configuration = configured(UV_DEFAULT_INDEX=f"{site.as_uri()}/general", GPUSETUP_TORCH_INDEX=f"{address}/whl")
    receipt = install(order(build(variant="cu121"), configuration=configuration, backend=backend))
    assert ("torch", "2.4.1+cu121") in names(receipt)


def test_offline_asks_no_server(order, server):
    wanted = order(configuration=configured(UV_OFFLINE="1", UV_DEFAULT_INDEX=f"{server[0]}/general"))
    with pytest.raises(NoBuildError) as caught:
        install(wanted)
    assert {item.value for item in caught.value.evidence} == {"not asked: uv is set to offline"}
    assert server[1].requests == []


def test_two_labels_in_one_folder_do_not_compete(order, site, tmp_path):
    """A folder with several variants: the resolver alone would take the highest label."""
    folder = tmp_path / "links"
    folder.mkdir()
    for path in site.glob("whl/*/torch/torch-2.4.1*.whl"):
        (folder / path.name).write_bytes(path.read_bytes())
    configuration = configured(UV_FIND_LINKS=str(folder), UV_DEFAULT_INDEX=f"{site.as_uri()}/general")
    receipt = install(order(build(variant="cu118"), configuration=configuration))
    assert ("torch", "2.4.1+cu118") in names(receipt)


def test_settings_of_the_shell_do_not_redirect_the_installation(order, tmp_path, monkeypatch):
    for name in ("PIP_TARGET", "PIP_PREFIX", "UV_TARGET", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("UV_TORCH_BACKEND", "cu130")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    for backend in ("uv", "pip"):
        assert names(install(order(backend=backend, digest=backend))) == DISTRIBUTIONS
    assert not (tmp_path / "elsewhere").exists()


def test_install_from_the_lock_of_another_environment(order, server, tmp_path):
    first = install(order())
    text = (tmp_path / "env/pylock.gpusetup.toml").read_text()
    lock = parse_lock(text, "pylock.gpusetup.toml", tag_order(PYTHON, tuple(platform_tags())))
    server[1].requests.clear()
    receipt = install(order(lock=lock, env=tmp_path / "other"))
    assert [item.sha256 for item in receipt.distributions] == [item.sha256 for item in first.distributions]
    assert dict(receipt.seconds).keys() == {"venv", "install", "verify"}


def test_lock_of_another_plan_is_refused(order, tmp_path):
    install(order())
    text = (tmp_path / "env/pylock.gpusetup.toml").read_text()
    lock = parse_lock(text, "pylock.gpusetup.toml", tag_order(PYTHON, tuple(platform_tags())))
    with pytest.raises(InstallError) as caught:
        install(order(build(variant="cu121"), lock=lock, digest="plan-2"))
    assert caught.value.code == "lock-mismatch"


@pytest.mark.parametrize("bound", [True, False])
def test_settings_of_a_project_around_the_environment_do_not_count(order, site, tmp_path, monkeypatch, bound):
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = '[tool.uv]\nconstraint-dependencies = ["numpy<2"]\n[tool.uv.pip]\ntarget = "elsewhere"\n'
    (tmp_path / "pyproject.toml").write_text(text)
    more = {}
    if not bound:
        folder = tmp_path / "links"
        folder.mkdir()
        for path in [*site.glob("general/[!t]*/*.whl"), *site.glob("whl/cpu/torch/*.whl")]:
            (folder / path.name).write_bytes(path.read_bytes())
        more["configuration"] = configured(UV_FIND_LINKS=str(folder), PIP_NO_INDEX="1")
    receipt = install(order(build(requirements=("numpy",)), **more))
    assert ("numpy", "2.1.0") in names(receipt)
    assert not list(tmp_path.rglob("elsewhere"))


def test_both_backends_install_the_very_same_files(order, tmp_path):
    """Names, versions, hashes and every installed file, what each installer notes about itself aside."""
    held = {}
    for backend in ("uv", "pip"):
        receipt = install(order(backend=backend, digest=backend, env=tmp_path / backend))
        site_packages = next((tmp_path / backend / "lib").glob("python*/site-packages"))
        files = {
            path.relative_to(site_packages).as_posix(): path.read_bytes()
            for path in site_packages.rglob("*")
            if path.is_file() and path.name not in {"INSTALLER", "RECORD", "REQUESTED"}
        }
        files = {
            n: content for n, content in files.items() if "__pycache__" not in n and not n.startswith("_virtualenv")
        }
        held[backend] = ([(d.name, d.version, d.sha256, d.source) for d in receipt.distributions], files)
    assert held["uv"] == held["pip"]


def test_pip_asks_no_index_again(order, server):
    install(order())
    text = (order().environment / "pylock.gpusetup.toml").read_text()
    lock = parse_lock(text, "lock", tag_order(PYTHON, tuple(platform_tags())))
    server[1].requests.clear()
    install(order(backend="pip", lock=lock, digest="plan-2"))
    assert server[1].requests
    assert not [path for path in server[1].requests if path.endswith("/")]


def test_a_kept_lock_names_the_index_of_its_files(order, server, tmp_path):
    install(order())
    text = (tmp_path / "env/pylock.gpusetup.toml").read_text()
    lock = parse_lock(text, "lock", tag_order(PYTHON, tuple(platform_tags())))
    indexes = {wheel.name: wheel.index for wheel in lock.wheels}
    assert indexes["torch"] == f"{server[0]}/whl/cpu"
    assert indexes["numpy"] == f"{server[0]}/general"


def test_the_cache_is_that_of_the_bare_installer(order, server, tmp_path, monkeypatch):
    """A wheel that `uv pip install` fetched from an index is not fetched again."""
    from provision.install.tools import uv_binary

    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    target = tmp_path / "bare"
    subprocess.run([uv_binary(), "pip", "install", "--quiet", "--target", target, "numpy==2.1.0",
                    "--default-index", f"{server[0]}/general"], check=True, capture_output=True)  # fmt: skip
    server[1].requests.clear()
    install(order(build(requirements=("numpy",))))
    assert [
        path for path in server[1].requests if path.endswith("torch-2.4.1%2Bcpu-" + TAG + f"-{TAG}-linux_x86_64.whl")
    ]
    assert not [path for path in server[1].requests if path.endswith("numpy-2.1.0-py3-none-any.whl")]


def test_a_named_index_that_gives_no_answer_is_told(order, site, tmp_path):
    """The build that another source holds is installed, and whoever named the index learns it."""
    links = tmp_path / "links"
    bench_index.make_torch(links, "2.4.1+cpu", None, python=TAG)
    index = {"UV_DEFAULT_INDEX": f"{site.as_uri()}/general", "GPUSETUP_TORCH_INDEX": "http://127.0.0.1:9/whl"}
    silent = configured(UV_FIND_LINKS=str(links), **index)
    (finding,) = unanswered(install(order(configuration=silent)))
    assert finding.id == "torch-index-unanswered"
    assert finding.evidence[0].name == "http://127.0.0.1:9/whl/cpu"
    assert unanswered(install(order(digest="plan-2"))) == ()
