"""The derived cache: a hit equals a miss, only what was written whole is trusted, and it is never an error."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.matrix import cache, load
from provision.matrix.load import default_matrix, read_matrix

ROOT = Path(__file__).parents[3]
TREE = {"a": ["1", None, {"b": "caf\u00e9"}], "c": {}}


LATE = ("read_gpus", "read_chips", "read_containers", "read_faults", "read_driver_sources")


def plain(value):
    """Every record as nested plain values, rows that are built late included."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name not in LATE]
        names += ["gpus", "chips", "containers", "faults", "driver_sources"] if hasattr(value, "read_gpus") else []
        return {name: plain(getattr(value, name)) for name in names}
    return [plain(item) for item in value] if type(value) in (tuple, list) else value


def entries(folder):
    return sorted((folder / "matrix").iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "gpusetup"


@pytest.fixture
def no_parser(monkeypatch):
    """A miss fails loudly."""

    def refuse(text, origin):
        raise AssertionError

    def switch():
        monkeypatch.setattr(load, "_checked", refuse)

    return switch


def test_a_hit_equals_a_miss_in_every_record(folder, no_parser):
    miss = default_matrix(folder)
    no_parser()
    hit = default_matrix(folder)
    assert plain(hit) == plain(miss)
    assert len(plain(hit)["gpus"]) >= 147
    assert plain(miss) == plain(read_matrix_unpatched())


def read_matrix_unpatched():
    text = load.default_matrix_path().read_text(encoding="utf-8")
    from provision.matrix.document import parse_document
    from provision.matrix.rows import matrix_of

    return matrix_of(parse_document(text, origin="m"), origin=str(load.default_matrix_path()))


def test_a_hit_imports_no_yaml_and_no_invariants(folder):
    script = (
        "import sys; from pathlib import Path; from provision.matrix import default_matrix; "
        "default_matrix(Path(sys.argv[1])).gpus; "
        "print(*sorted({'yaml', 'provision.matrix.document', 'provision.matrix.invariants'} & set(sys.modules)))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [done.stdout.strip() for done in said] == [
        "provision.matrix.document provision.matrix.invariants yaml",
        "",
    ]


def test_what_was_kept_is_fetched(folder):
    cache.keep(folder, "k" * 64, TREE)
    assert cache.fetch(folder, "k" * 64) == TREE
    assert cache.fetch(folder, "j" * 64) is None
    assert list(cache.fetch(folder, "k" * 64)) == ["a", "c"]


def test_folders_and_entries_are_the_users_alone(folder):
    cache.keep(folder, "k" * 64, TREE)
    modes = [path.stat().st_mode & 0o777 for path in (folder.parent, folder, folder / "matrix", *entries(folder))]
    assert modes == [0o700, 0o700, 0o700, 0o600]


DAMAGE = {
    "empty": lambda raw: b"",
    "cut off": lambda raw: raw[:-1],
    "half": lambda raw: raw[: len(raw) // 2],
    "head alone": lambda raw: raw.split(b"\n")[0],
    "longer": lambda raw: raw + b" ",
    "one byte": lambda raw: raw.replace(b'"1"', b'"2"'),
    "another key": lambda raw: raw.replace(b"k" * 64, b"j" * 64),
    "another format": lambda raw: raw.replace(b"gpusetup-matrix 1", b"gpusetup-matrix 0"),
    "not JSON": lambda raw: signed(b"{"),
    "deep": lambda raw: signed(b"[" * 100_000),
    "not text": lambda raw: signed(b"\xff\xfe"),
    "zeros": lambda raw: b"\0" * len(raw),
}


def signed(payload):
    return cache.STORE.head("k" * 64, payload) + b"\n" + payload


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_none_and_is_replaced(damage, folder):
    cache.keep(folder, "k" * 64, TREE)
    (entry,) = entries(folder)
    entry.write_bytes(damage(entry.read_bytes()))
    assert cache.fetch(folder, "k" * 64) is None
    cache.keep(folder, "k" * 64, TREE)
    assert cache.fetch(folder, "k" * 64) == TREE


@pytest.mark.parametrize("tree", [{}, [], "text", {"schema": "gpusetup.matrix/1"}])
def test_an_entry_of_another_shape_is_not_trusted(tree, folder):
    key = cache.key_of(load.default_matrix_path().read_text(encoding="utf-8"))
    cache.keep(folder, key, tree)
    assert default_matrix(folder).releases
    assert cache.fetch(folder, key)["matrix"]["schema"] == "gpusetup.matrix/1"


def test_a_large_entry_is_neither_written_nor_read(folder, monkeypatch):
    cache.keep(folder, "k" * 64, TREE)
    monkeypatch.setattr(cache, "STORE", replace(cache.STORE, max_bytes=100))
    assert cache.fetch(folder, "k" * 64) is None
    cache.keep(folder, "j" * 64, TREE)
    assert len(entries(folder)) == 1


def test_another_text_or_other_code_is_another_key(tmp_path):
    assert cache.key_of("a") == cache.key_of("a")
    assert len({cache.key_of(*texts) for texts in [("a",), ("b",), ("a", ""), ("", "a"), ("a", "a"), ("aa",)]}) == 6


CODE = "import sys; sys.path.insert(0, sys.argv[1]); from provision.matrix.cache import key_of; print(key_of('a'))"


@pytest.mark.parametrize("name", ["matrix/rows.py", "matrix/invariants.py", "matrix/new.py", "versions.py"])
def test_changed_code_is_another_key(name, tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "install", "checks", "detect", "schemas")
    shutil.copytree(ROOT / "provision", tmp_path / "provision", ignore=ignored)

    def key():
        command = [sys.executable, "-I", "-B", "-c", CODE, str(tmp_path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    before = key()
    assert len(before) == 65
    with (tmp_path / "provision" / name).open("a") as file:
        file.write("# changed\n")
    assert key() != before


def test_code_without_sources_has_no_key(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "gone" / "matrix" / "cache.py"))
    assert cache.key_of("a") is None


def test_a_folder_that_cannot_be_made_or_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    for base in (tmp_path / "file", tmp_path / "file" / "deeper", Path("/proc/gpusetup"), Path("/dev/null")):
        assert default_matrix(base).releases
        cache.keep(base, "k" * 64, TREE)
        assert cache.fetch(base, "k" * 64) is None


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
    cache.keep(folder, "k" * 64, TREE)

    def full(*args, **words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.keep(folder, "j" * 64, TREE)
    assert [path.name for path in entries(folder)] == ["k" * 64 + ".json"]


def test_a_folder_that_others_may_write_is_not_used(folder):
    cache.keep(folder, "k" * 64, TREE)
    for place in (folder, folder / "matrix", *entries(folder)):
        mode = place.stat().st_mode
        place.chmod(mode | 0o020)
        assert cache.fetch(folder, "k" * 64) is None
        place.chmod(mode)
    assert cache.fetch(folder, "k" * 64) == TREE


def test_a_folder_of_another_user_is_not_used(folder, monkeypatch):
    cache.keep(folder, "k" * 64, TREE)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert cache.fetch(folder, "k" * 64) is None
    cache.keep(folder, "j" * 64, TREE)
    cache.keep(folder.parent / "other", "j" * 64, TREE)
    assert len(entries(folder)) == 1
    assert not (folder.parent / "other").exists()


def test_links_are_not_followed(folder, tmp_path):
    cache.keep(folder, "k" * 64, TREE)
    (entry,) = entries(folder)
    for place in (entry, folder / "matrix", folder):
        aside = tmp_path / "aside"
        place.rename(aside)
        place.symlink_to(aside)
        assert cache.fetch(folder, "k" * 64) is None
        place.unlink()
        aside.rename(place)
    assert cache.fetch(folder, "k" * 64) == TREE


def test_a_link_in_place_of_an_entry_is_replaced_and_its_target_is_left_alone(folder, tmp_path):
    cache.keep(folder, "k" * 64, TREE)
    (tmp_path / "target").write_text("mine")
    (entry,) = entries(folder)
    entry.unlink()
    entry.symlink_to(tmp_path / "target")
    cache.keep(folder, "k" * 64, TREE)
    assert (tmp_path / "target").read_text() == "mine"
    assert cache.fetch(folder, "k" * 64) == TREE


def test_a_pipe_is_not_waited_for(folder):
    cache.keep(folder, "k" * 64, TREE)
    (entry,) = entries(folder)
    entry.unlink()
    os.mkfifo(entry)
    assert cache.fetch(folder, "k" * 64) is None


def test_the_newest_entries_stay_and_leftovers_go(folder):
    cache.keep(folder, "a" * 64, TREE)
    for name, age in ((".young", 60), (".old", 7200)):
        (folder / "matrix" / name).write_text("")
        os.utime(folder / "matrix" / name, (1, entries(folder)[-1].stat().st_mtime - age))
    for number in range(cache.STORE.max_entries):
        key = f"{number:064}"
        cache.keep(folder, key, TREE)
        os.utime(folder / "matrix" / f"{key}.json", (1, 2_000_000_000 + number))
    names = [path.name for path in entries(folder)]
    assert names == [".young", *(f"{number:064}.json" for number in range(cache.STORE.max_entries))]


def test_writers_beside_each_other_leave_one_whole_entry(folder):
    trees = [{"writer": str(number), "rows": ["x" * 100] * 500} for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda tree: cache.keep(folder, "k" * 64, tree), trees))
            assert cache.fetch(folder, "k" * 64) in trees
    assert [path.name for path in entries(folder)] == ["k" * 64 + ".json"]


def test_a_broken_file_is_named_with_its_line_whatever_is_kept(folder, tmp_path, monkeypatch):
    text = load.default_matrix_path().read_text(encoding="utf-8")
    monkeypatch.setattr(load, "default_matrix_path", lambda: tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    default_matrix(folder)
    (tmp_path / "m.yaml").write_text(text.replace("type: LTS", "type: good", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"driver_branches\.rows\['450'\]\.type \(line \d+\): found 'good'"):
        default_matrix(folder)
    assert len(entries(folder)) == 1


def test_a_file_that_is_validated_is_read_without_the_cache(folder, tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError

    for name in ("fetch", "keep", "key_of"):
        monkeypatch.setattr(cache, name, refuse)
    assert read_matrix().releases


def test_an_entry_is_json_and_nothing_else(folder):
    default_matrix(folder)
    (entry,) = entries(folder)
    head, payload = entry.read_bytes().split(b"\n")
    assert head.startswith(b"gpusetup-matrix 1 ")
    assert json.loads(payload)["matrix"]["schema"] == "gpusetup.matrix/1"
