"""What a rehearsal says of bytes, disks and seconds: measured here, or not known."""

from __future__ import annotations

import dataclasses

import index as bench_index
import pytest
from install_orders import TAG, build

from provision.documents.receipt import CacheData, TimeData, rehearsal_data
from provision.install import estimate as estimates
from provision.install.apply import Event as InstallEvent
from provision.install.apply import install, rehearse
from provision.install.configuration import read_configuration
from provision.pipeline import _install_sink, rehearsal_findings
from provision.report.receipt import render_rehearsal
from provision.report.style import Style


def shown(rehearsal, tmp_path, **changes):
    data = rehearsal_data(rehearsal, env=tmp_path / "env", backend="uv")
    data = dataclasses.replace(data, rehearsal=dataclasses.replace(data.rehearsal, **changes))
    return render_rehearsal(data, Style())


def test_commands_are_those_of_the_real_run_and_name_no_temporary_folder(order, tmp_path):
    rehearsal = rehearse(order())
    words = rehearsal.steps[1][1]
    assert f"{tmp_path}/.env.gpusetup/NEW.part/locked/pylock.toml" in words
    assert not [word for word in words if "/gpusetup-" in word]


@pytest.mark.parametrize(("backend", "links"), [("uv", "link"), ("pip", "copy")])
def test_cache_on_the_same_disk(order, cache, backend, links):
    found = rehearse(order(backend=backend)).storage
    assert found.links == links
    assert found.cache == str(cache if backend == "uv" else cache / "pip")
    assert bool(found.cache_needed_bytes) == (links == "copy")
    assert found.cache_free_bytes


def test_a_cache_on_another_disk_means_copies(order, monkeypatch, tmp_path):
    monkeypatch.setattr(estimates, "_device", hash)
    rehearsal = rehearse(order())
    assert rehearsal.storage.links == "copy"
    assert rehearsal.storage.cache_needed_bytes == rehearsal.disk_needed_bytes
    assert "the environment gets copies" in shown(rehearsal, tmp_path).replace("\n         ", " ")


def test_copies_that_were_asked_for(order, monkeypatch):
    monkeypatch.setenv("UV_LINK_MODE", "copy")
    assert rehearse(order()).storage.links == "copy"


def test_no_time_where_nothing_was_measured(order, tmp_path):
    rehearsal = rehearse(order())
    found = rehearsal.estimate
    assert (found.download_s, found.rest_s, found.least_s, found.most_s) == (None, None, None, None)
    assert found.basis == (
        "download: the files are too small to measure by",
        "rest: no environment was made here before",
    )
    assert "time     not known" in shown(rehearsal, tmp_path)


def test_an_earlier_environment_tells_the_rest(order):
    receipt = install(order())
    found = rehearse(order(is_fresh=True)).estimate
    took = sum(seconds for name, seconds in receipt.seconds if name in {"venv", "install", "verify"})
    assert found.rest_s == pytest.approx(took, abs=0.11)
    assert found.most_s is None


def test_local_files_are_no_download(order, site, tmp_path):
    values = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1", "UV_DEFAULT_INDEX": f"{site.as_uri()}/general"}
    configuration = read_configuration({**values, "GPUSETUP_TORCH_INDEX": f"{site.as_uri()}/whl"})
    rehearsal = rehearse(order(configuration=configuration))
    assert (rehearsal.download_bytes, rehearsal.estimate.download_s) == (0, 0.0)
    assert "download nothing, every file is on this machine" in shown(rehearsal, tmp_path)


def test_the_network_is_measured_on_the_largest_file(order, tmp_path, site):
    import random

    text = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=16 * 2**20))
    root = tmp_path / "site"
    bench_index.make_torch(root / "whl/cpu/torch", "2.4.1+cpu", None, python=TAG, extra=f"# {text}", requires=())
    bench_index.write_pages(root)
    with bench_index.serving(root) as (address, behaviour):
        configuration = read_configuration(
            {
                "PIP_CONFIG_FILE": "/dev/null",
                "UV_NO_CONFIG": "1",
                "UV_DEFAULT_INDEX": f"{site.as_uri()}/general",
                "GPUSETUP_TORCH_INDEX": f"{address}/whl",
            }
        )
        found = rehearse(order(build(requirements=()), configuration=configuration)).estimate
        assert behaviour.ranges[-2:] == ["bytes=0-0", "bytes=0-4194303"]
        behaviour.has_ranges = False
        without = rehearse(order(build(requirements=()), configuration=configuration)).estimate
    assert found.download_s is not None
    assert found.basis[0].startswith("download: 4 MiB of torch, fetched now at ")
    assert without.download_s is None
    assert "does not answer range requests" in without.basis[0]


def test_too_little_room_is_told_without_an_error(order, tmp_path):
    rehearsal = dataclasses.replace(rehearse(order()), disk_free_bytes=1000)
    assert [finding.id for finding in rehearsal_findings(rehearsal)] == ["disk-full"]
    assert "too little" in shown(rehearsal, tmp_path)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (TimeData(60.0, 20.0, 20.0, 80.0, ()), "20.0 s with everything cached to 80.0 s with nothing cached"),
        (TimeData(0.0, 20.0, 20.0, 20.0, ()), "about 20.0 s"),
        (TimeData(60.0, None, None, None, ()), "up to 60.0 s for the download; the rest is not known"),
        (TimeData(None, 20.0, 20.0, None, ()), "about 20.0 s after the download, whose time is not known"),
    ],
)
def test_the_text_fits_eighty_columns(order, tmp_path, time, expected):
    cache = CacheData("/var/cache/" + "x" * 30, "link", 0, 10**12)
    text = shown(rehearse(order()), tmp_path, time=time, cache=cache)
    assert f"time     {expected}" in text
    # A word that is longer than the line, such as a path, stands on a line of its own.
    assert all(len(line) <= 80 or max(map(len, line.split())) > 60 for line in text.splitlines())


def test_what_an_install_tells_while_it_runs():
    seen = []
    tell = _install_sink(seen.append)
    tell(InstallEvent("phase", "install"))
    tell(InstallEvent("line", "install", "Prepared 3 packages"))
    tell(InstallEvent("written", "install", written_bytes=1000, of_bytes=2**31))
    tell(InstallEvent("written", "install", written_bytes=2**30, of_bytes=2**31))
    tell(InstallEvent("written", "install", written_bytes=2**31, of_bytes=None))
    tell(InstallEvent("written", "verify", written_bytes=2**30))
    tell(InstallEvent("done", "install", seconds=3.0))
    assert [(event.kind, event.text, event.fraction) for event in seen] == [
        ("phase", "downloading and installing", None),
        ("progress", "Prepared 3 packages", None),
        ("progress", "1.0 GiB of at most 2.0 GiB written", 0.5),
        ("progress", "2.0 GiB written", None),
    ]
