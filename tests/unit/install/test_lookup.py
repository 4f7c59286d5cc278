"""Asking sources: deadlines, redirects, local folders, the built-in index."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from provision.install import lookup
from provision.install.configuration import Location, PackageConfiguration
from provision.install.fetching import Deadlines, Fetcher, FetchError
from provision.install.lookup import ask_sources, default_index
from provision.records import Source


def location(url, kind="index"):
    return Location(Source(kind, url, name="test"), url)


def asked(*locations, **limits):
    return ask_sources(locations, "torch", fetcher=Fetcher(deadlines=Deadlines(**limits)))


def test_all_sources_are_asked_at_once_and_none_is_waited_for_beyond_the_deadline(server):
    address, behaviour = server
    behaviour.faults["/slow/"] = "hang"
    start = time.monotonic()
    answers = asked(
        *(location(f"{address}/slow/{number}") for number in range(5)),
        location(f"{address}/whl/cu121"),
        silence_s=5.0,
        overall_s=0.5,
    )
    assert time.monotonic() - start < 2
    assert [answer.failure for answer in answers[:5]] == ["no answer within 0.5 s"] * 5
    assert [file.filename.split("-")[1] for file in answers[5].files] == ["2.4.1+cu121"]
    assert answers[5].files[0].sha256


def test_nobody_listens():
    (answer,) = asked(location("http://127.0.0.1:9/simple"))
    assert answer.failure == "it cannot be reached: Connection refused"


@pytest.mark.parametrize("kind", ["index", "flat"])
def test_local_places(site, tmp_path, kind):
    page = location((site / "whl/cpu").as_uri() if kind == "index" else (site / "whl/cpu/torch").as_uri(), kind)
    nothing = location((tmp_path / "missing").as_uri(), kind)
    listed, empty = asked(page, nothing)
    assert [file.filename.split("-")[1] for file in listed.files] == ["2.0.1+cpu", "2.4.1+cpu"]
    assert (empty.files, empty.failure) == ((), None)


def test_page_of_links_as_a_file(site):
    (answer,) = asked(location((site / "whl/cpu/torch/index.html").as_uri(), "flat"))
    assert len(answer.files) == 2
    assert answer.files[0].url.startswith((site / "whl/cpu/torch").as_uri() + "/torch-2.0.1%2Bcpu")


class Redirect(http.server.BaseHTTPRequestHandler):
    target = ""
    seen: list[str | None] = []  # noqa: RUF012 - one server per test run

    def do_GET(self):
        Redirect.seen.append(self.headers.get("Authorization"))
        self.send_response(302)
        self.send_header("Location", Redirect.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def redirecting():
    server = http.server.HTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_login_does_not_follow_a_redirect_to_another_host(server, redirecting):
    address, behaviour = server
    behaviour.login = ("me", "other")
    Redirect.target = f"{address}/whl/cpu/torch/"
    (answer,) = asked(location(f"http://me:word@{redirecting}/whl/cpu"))
    assert Redirect.seen[-1] == "Basic bWU6d29yZA=="
    assert answer.failure == "HTTP 401 Unauthorized: it wants other credentials"


def test_redirect_to_a_file_is_refused(redirecting):
    Redirect.target = "file:///etc/passwd"
    (answer,) = asked(location(f"http://{redirecting}/whl/cpu"))
    assert "is not allowed" in answer.failure


def test_page_that_is_too_large(server, monkeypatch):
    from provision.install import fetching

    monkeypatch.setattr(fetching, "MAX_BYTES", 100)
    with pytest.raises(FetchError, match="larger than"):
        Fetcher().get(f"{server[0]}/whl/cpu/torch/", accept="text/html")


def test_netrc_is_read(server, tmp_path, monkeypatch):
    server[1].login = ("me", "word")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (answer,) = asked(location(f"{server[0]}/whl/cu121"))
    assert len(answer.files) == 1


def test_built_in_index_is_what_both_tools_say():
    found = lookup.builtin_index()
    assert found is not None
    assert found.source.is_default
    assert lookup._from_uv() == lookup._from_pip() == found.secret_url


def test_no_general_index_without_indexes():
    assert default_index(PackageConfiguration(no_index=True), lambda: location("http://x")) is None
    assert default_index(PackageConfiguration(offline=True), lambda: location("http://x")) is None
    assert default_index(PackageConfiguration(), lambda: location("http://x")).url == "http://x"
