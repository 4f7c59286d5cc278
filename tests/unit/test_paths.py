"""Files of ours: written whole, special files written to, links followed."""

import os
from pathlib import Path

from provision.paths import data_folder, write_whole


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "new" / "report.json", "one")
    write_whole(tmp_path / "new" / "report.json", "two")
    assert [(p.name, p.read_text()) for p in (tmp_path / "new").iterdir()] == [("report.json", "two")]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"


def test_a_device_is_written_to_and_never_replaced(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    write_whole(tmp_path / "null", "text")
    assert Path(os.devnull).is_char_device()
    assert (tmp_path / "null").is_symlink()


def test_the_data_folder_follows_the_variable_when_it_is_absolute(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "gpusetup"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert str(data_folder()) == "/home/ada/.local/share/gpusetup"
