"""Metadata without the wheel: what is fetched, what is refused, what an index that misbehaves leads to."""

from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path

import jsonschema
import pytest
from audit_site import PINS_2_9, TEXT, audited, configuration, row

from provision.audit import gathering, reading
from provision.audit.model import Reading, UnreadableError
from provision.audit.reading import RangedFile, member_text
from provision.cli import run
from provision.errors import NoBuildError
from provision.install.configuration import Location, PackageConfiguration
from provision.install.fetching import Deadlines, Fetcher, FetchError
from provision.records import Source

X86 = "manylinux_2_28_x86_64"
PLACE = "torch.releases['2.9.0'].platforms.linux_x86_64.requires"
WHEEL = f"torch-2.9.0-cp312-cp312-{X86}.whl"
QUICK = Deadlines(silence_s=0.3, overall_s=1.0)


# --- ranges -------------------------------------------------------------------------------------


def test_a_large_wheel_is_not_downloaded(site):
    big = {"torch/lib.so": "x" * 3_000_000}
    site.add("torch", "2.9.0", f"cp312-cp312-{X86}", PINS_2_9, files=big)
    data = site.audit_over_http("2.9")
    assert row(data, PLACE).verdict == "same"
    assert 0 < data.bytes_read < 300_000
    whole = [path for path in site.behaviour.requests if path.endswith(".whl")]
    assert len(whole) == len(site.behaviour.ranges)  # no request for a wheel without a range


def test_the_metadata_file_is_taken_where_the_page_names_one(site):
    site.options = {"names_metadata": True}
    data = site.audit_over_http("2.9")
    assert row(data, PLACE).verdict == "same"
    assert not site.behaviour.ranges
    assert f"/general/torch/{WHEEL}.metadata" in site.behaviour.requests


def test_the_metadata_file_stands_in_where_ranges_are_not_answered(site):
    data = site.audit_over_http("2.9", has_ranges=False)
    assert row(data, PLACE).verdict == "same"


def test_an_index_without_either_leaves_the_row_unread(site):
    faults = {f"/general/torch/{WHEEL}.metadata": 404}
    found = row(site.audit_over_http("2.9", faults=faults, has_ranges=False), PLACE)
    assert (found.verdict, found.index) == ("not-readable", None)
    assert found.why == "it does not answer range requests"


def test_the_next_wheel_is_asked_when_one_is_gone(site):
    site.add("torch", "2.9.0", f"cp311-cp311-{X86}", PINS_2_9)
    data = site.audit_over_http("2.9", faults={f"/general/torch/{WHEEL}": 404})
    assert row(data, PLACE).verdict == "same"


def test_a_metadata_file_with_another_hash_is_not_believed(site):
    site.options = {"names_metadata": True}
    text = "Metadata-Version: 2.1\nName: torch\nVersion: 2.9.0\n"
    found = row(site.audit_over_http("2.9", faults={f"/general/torch/{WHEEL}.metadata": text}), PLACE)
    assert (found.verdict, found.why) == (
        "not-readable",
        "its metadata file does not have the hash that the index states",
    )


def test_no_more_of_a_wheel_is_read_than_a_limit(site, monkeypatch):
    monkeypatch.setattr(reading, "MAX_RANGES_BYTES", 70_000)
    big = {"torch/lib.so": "x" * 300_000}
    files = {f"torch/{n}.py": "" for n in range(2000)} | big
    site.add("torch", "2.9.0", f"cp312-cp312-{X86}", PINS_2_9, files=files)
    faults = {f"/general/torch/{WHEEL}.metadata": 404}
    found = row(site.audit_over_http("2.9", faults=faults), PLACE)
    assert found.verdict == "not-readable"
    assert "MiB of the wheel would have to be read" in found.why


def test_a_ranged_file_is_the_file(site):
    site.add("torch", "2.9.0", f"cp312-cp312-{X86}", PINS_2_9, files={"a": "0123456789" * 30_000})
    with site.serving() as (address, behaviour):
        path = site.root / "general/torch" / WHEEL
        content = path.read_bytes()
        ranged = RangedFile(f"{address}/general/torch/{WHEEL}", Fetcher())
        assert ranged.seek(-10, 2) == len(content) - 10
        assert ranged.read() == content[-10:]
        assert ranged.seek(5) == ranged.tell() == 5
        assert ranged.read(100) == content[5:105]
        assert ranged.read(0) == b""
        before = len(behaviour.ranges)
        ranged.seek(50)
        assert ranged.read(30) == content[50:80]
        assert len(behaviour.ranges) == before  # kept
        ranged.seek(len(content) + 5)
        assert ranged.read(5) == b""
        with pytest.raises(ValueError, match="before the beginning"):
            ranged.seek(-1)


def test_a_missing_file_is_a_sentence(site):
    with site.serving() as (address, _), pytest.raises(FetchError, match="HTTP 404"):
        RangedFile(f"{address}/general/torch/none.whl", Fetcher())


# --- broken archives and metadata ---------------------------------------------------------------


BROKEN = {
    "no archive": (b"<html>sign in</html>", "it is not a readable zip archive"),
    "nothing": (b"", "it is not a readable zip archive"),
}


@pytest.mark.parametrize(("content", "why"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_archive_is_not_readable(site, content, why):
    site.write()
    (site.root / "general/torch" / WHEEL).write_bytes(content)
    found = row(audited(configuration(f"file://{site.root}/general"), "2.9"), PLACE)
    assert found.verdict == "not-readable"
    assert found.why.startswith(why)


@pytest.mark.parametrize("members", [[], ["a.dist-info/METADATA", "b.dist-info/METADATA"], ["x/a.dist-info/METADATA"]])
def test_an_archive_holds_one_metadata(members, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        for member in [*members, "torch/__init__.py"]:
            archive.writestr(member, "")
    with (tmp_path / "w.whl").open("rb") as file, pytest.raises(UnreadableError, match="expected one"):
        member_text(file)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_metadata_is_packed_as_wheels_are(packing, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w", packing) as archive:
        archive.writestr("a.dist-info/METADATA", "Name: torch")
    with (tmp_path / "w.whl").open("rb") as file, pytest.raises(UnreadableError, match="packed in a way"):
        member_text(file)


def test_metadata_that_unpacks_to_too_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dist-info/METADATA", "x" * 5_000_000)
    with (tmp_path / "w.whl").open("rb") as file, pytest.raises(UnreadableError, match="larger than 4 MiB"):
        member_text(file)


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        (("torch ==",), "its metadata has a broken requirement: 'torch =='"),
        (("a",) * 1001, "its metadata has more than 1000 requirements"),
        (("\x1b[31mnvidia", "x"), "its metadata has a broken requirement"),
    ],
)
def test_broken_requirements_are_quoted(site, requires, why):
    site.add("torch", "2.9.0", f"cp312-cp312-{X86}", requires)
    found = row(site.audit("2.9"), PLACE)
    assert found.verdict == "not-readable"
    assert why in found.why


@pytest.mark.parametrize("header", ["Name: torchx\nVersion: 2.9.0", "Name: torch\nVersion: 2.8.0", "Version: x", ""])
def test_the_metadata_of_something_else_is_refused(site, header):
    site.options = {"names_metadata": True}
    site.write()
    path = site.root / "general/torch" / f"{WHEEL}.metadata"
    with site.serving() as (address, _):
        for page in (path.with_name("index.html"), path.with_name("index.json")):
            page.write_text(page.read_text().replace("sha256", "md5"))
        path.write_text(f"Metadata-Version: 2.1\n{header}\n")
        found = row(audited(configuration(f"{address}/general"), "2.9"), PLACE)
    assert found.verdict == "not-readable"
    assert "its metadata is that of" in found.why


# --- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (500, "HTTP 500"),
        (403, "it wants other credentials"),
        ("<html><form><input></form></html>", "a sign-in page"),
        ("hang", "silent for"),
        ("drip", "within 1 s"),
    ],
)
def test_an_index_that_gives_no_answer_is_an_error_of_its_own(site, fault, why):
    with site.serving() as (address, behaviour):
        behaviour.faults["/general/torch/"] = fault
        with pytest.raises(NoBuildError) as caught:
            audited(configuration(f"{address}/general"), deadlines=QUICK)
    assert caught.value.code == "index-not-reachable"
    assert why in caught.value.evidence[0].value
    assert address not in f"{caught.value.evidence}"


def test_another_project_that_gives_no_answer_leaves_its_rows_unread(site):
    data = site.audit_over_http(faults={"/general/peft/": 500})
    assert data.summary.drift == 0
    found = row(data, "peft.rows['0.17.0']")
    assert (found.verdict, found.why) == ("not-readable", "HTTP 500 Internal Server Error")


def test_silence_ends_the_reading(site, monkeypatch):
    answer = threading.Event()

    def hang(wheel, _):
        answer.wait(10)
        return Reading(wheel, failure="too late")

    monkeypatch.setattr(gathering, "read_metadata", hang)
    monkeypatch.setattr(gathering.read_all, "__kwdefaults__", {"silence_s": 0.3})
    found = row(site.audit("2.9"), PLACE)
    answer.set()
    assert (found.verdict, found.why) == ("not-readable", "no answer within 0.3 s")


def folder(site):
    """All wheels in one flat folder, as --find-links takes it."""
    site.write()
    flat = site.root / "flat"
    flat.mkdir()
    for path in (site.root / "general").rglob("*.whl"):
        path.rename(flat / path.name)
    address = f"file://{flat}"
    location = Location(Source("flat", address, name="test"), address)
    return PackageConfiguration(find_links=(location,), no_index=True)


def test_a_folder_is_read_where_indexes_are_switched_off(site):
    data = audited(folder(site))
    assert (data.summary.drift, data.summary.not_readable) == (0, 1)  # what is free-threaded needs the whole index
    assert data.sources[0].name == "find-links folder 1"
    assert {row.source for row in data.rows if row.verdict == "same"} == {"find-links folder 1"}


def test_what_a_folder_lacks_is_unknown_and_not_drift(site):
    site.drop("torch", "2.10.0", f"cp313-cp313t-{X86}")
    site.drop("peft", "0.17.1")
    site.drop("torchaudio", "2.9.0", f"cp312-cp312-{X86}")
    for version in ("1.10.0", "1.10.1"):
        site.drop("accelerate", version)
    data = audited(folder(site))
    assert data.summary.drift == 0
    unread = {row.place for row in data.rows if row.verdict == "not-readable"}
    assert unread == {
        "torch.releases['2.10.0'].platforms.linux_x86_64.pythons",
        "torch.releases['2.9.0'].companions.torchaudio",
        "accelerate.rows['1.10.0']",
        "peft.rows['0.17.0'].last",
        "transformers.free_threaded.tokenizers",
    }


def test_what_a_folder_has_more_is_drift(site):
    site.add("torch", "2.9.0", f"cp313-cp313-{X86}", PINS_2_9)
    data = audited(folder(site), "2.9")
    assert row(data, "torch.releases['2.9.0'].platforms.linux_x86_64.pythons").verdict == "drift"


def test_an_empty_folder_is_an_error(tmp_path):
    address = f"file://{tmp_path}"
    settings = PackageConfiguration(
        find_links=(Location(Source("flat", address, name="test"), address),), no_index=True
    )
    with pytest.raises(NoBuildError, match="gave no answer"):
        audited(settings)


# --- the command --------------------------------------------------------------------------------


def matrix_file(tmp_path):
    path = tmp_path / "mini.yaml"
    path.write_text(TEXT)
    return str(path)


def run_audit(site, monkeypatch, tmp_path, *words):
    """Exit code of the command against the site, with a login in the address."""
    with site.serving() as (address, behaviour):
        behaviour.login = ("ada", "s3cr3t-token")
        monkeypatch.setenv("PIP_INDEX_URL", address.replace("//", "//ada:s3cr3t-token@") + "/general")
        monkeypatch.setenv("GPUSETUP_TORCH_INDEX", "http://127.0.0.1:1/whl")
        return run(["matrix", "audit", matrix_file(tmp_path), *words]), address


def test_drift_is_exit_1_and_stands_first(site, monkeypatch, tmp_path, capsys):
    site.add("torch", "2.9.0", f"cp313-cp313-{X86}", PINS_2_9)
    code, address = run_audit(site, monkeypatch, tmp_path)
    captured = capsys.readouterr()
    assert code == 1
    lines = captured.out.splitlines()
    body = [line for line in lines if not line.startswith(("asked", " "))]
    assert body[0] == "drift    torch.releases['2.9.0'].platforms.linux_x86_64.pythons"
    assert "1 drift" in captured.out.splitlines()[-2] + captured.out.splitlines()[-1]
    assert max(map(len, lines)) <= 80
    assert "matrix-drift" in captured.err
    assert "s3cr3t" not in captured.out + captured.err
    assert address.removeprefix("http://") not in captured.out + captured.err


def test_what_agrees_is_exit_0_and_one_document(site, monkeypatch, tmp_path, capsys):
    code, address = run_audit(site, monkeypatch, tmp_path, "--json")
    text = capsys.readouterr().out
    document = json.loads(text)
    schema = Path(__file__).parents[3] / "provision/schemas/matrix-audit-1.json"
    jsonschema.validate(document, json.loads(schema.read_text()), cls=jsonschema.Draft202012Validator)
    assert (code, document["schema"], document["status"]) == (0, "gpusetup.matrix-audit/1", "degraded")
    assert document["data"]["summary"] == {"same": 34, "drift": 0, "not_readable": 0, "not_looked_at": 3}
    assert "s3cr3t" not in text
    assert address.removeprefix("http://") not in text


def test_no_index_is_exit_4(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PIP_INDEX_URL", "http://ada:s3cr3t-token@127.0.0.1:1/simple")
    monkeypatch.setenv("GPUSETUP_TORCH_INDEX", "http://127.0.0.1:1/whl")
    assert run(["matrix", "audit", matrix_file(tmp_path)]) == 4
    captured = capsys.readouterr()
    assert "index-not-reachable" in captured.err
    assert "Traceback" not in captured.err
    assert "s3cr3t" not in captured.err


@pytest.mark.parametrize(("words", "code"), [(["--torch", "9.9"], 2), (["--torch", "x"], 2), (["/no/such/file"], 7)])
def test_words_that_mean_nothing(words, code, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    assert run(["matrix", "audit", *words]) == code


def test_a_requirement_for_another_platform_is_none_here(site):
    more = ("triton-windows==3.5.0; platform_system == 'Windows'", "nvidia-extra==1; extra == 'all'")
    site.add("torch", "2.9.0", f"cp312-cp312-{X86}", (*PINS_2_9, *more))
    assert row(site.audit("2.9"), PLACE).verdict == "same"
