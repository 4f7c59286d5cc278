"""Pages that are kept: every look asks, and what did not change is not sent again."""

from __future__ import annotations

import http.server
import threading

import pytest

from provision.install.fetching import Fetcher, FetchError
from provision.install.pages import PageCache

ACCEPT = "text/html"


class Versioned(http.server.BaseHTTPRequestHandler):
    """A page with a version; `seen` holds (status, condition, login) of every request."""

    body, etag, control = b"one", '"1"', ""
    seen: list[tuple[int, str | None, str | None]] = []  # noqa: RUF012 - emptied by the fixture

    def do_GET(self):
        condition = self.headers.get("If-None-Match")
        status = 304 if condition and condition == self.etag else 200
        Versioned.seen.append((status, condition, self.headers.get("Authorization")))
        self.send_response(status)
        if self.etag:
            self.send_header("ETag", self.etag)
        if self.control:
            self.send_header("Cache-Control", self.control)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.body) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    Versioned.body, Versioned.etag, Versioned.control = b"one", '"1"', ""
    Versioned.seen.clear()
    server = http.server.HTTPServer(("127.0.0.1", 0), Versioned)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}/simple/torch/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fetcher(tmp_path):
    (tmp_path / "gpusetup").mkdir(mode=0o700)
    return Fetcher(cache=PageCache(tmp_path / "gpusetup"))


def test_a_page_that_did_not_change_is_not_sent_again(page, fetcher):
    first = fetcher.get(f"http://{page}", accept=ACCEPT)
    again = fetcher.get(f"http://{page}", accept=ACCEPT)
    assert first == again
    assert [(status, condition) for status, condition, _ in Versioned.seen] == [(200, None), (304, '"1"')]


def test_a_page_that_changed_is_read_anew(page, fetcher):
    fetcher.get(f"http://{page}", accept=ACCEPT)
    Versioned.body, Versioned.etag = b"two", '"2"'
    assert fetcher.get(f"http://{page}", accept=ACCEPT).text == "two"
    assert fetcher.get(f"http://{page}", accept=ACCEPT).text == "two"
    assert [status for status, _, _ in Versioned.seen] == [200, 200, 304]


@pytest.mark.parametrize(("etag", "control"), [("", ""), ('"1"', "private, no-store")])
def test_what_has_no_version_or_must_not_be_stored_is_not_kept(page, fetcher, etag, control):
    Versioned.etag, Versioned.control = etag, control
    for _ in range(2):
        assert fetcher.get(f"http://{page}", accept=ACCEPT).text == "one"
    assert [condition for _, condition, _ in Versioned.seen] == [None, None]


def test_another_login_has_pages_of_its_own_and_none_is_stored(page, fetcher, tmp_path):
    fetcher.get(f"http://me:word@{page}", accept=ACCEPT)
    fetcher.get(f"http://you:other@{page}", accept=ACCEPT)
    fetcher.get(f"http://{page}", accept=ACCEPT)
    assert [condition for _, condition, _ in Versioned.seen] == [None, None, None]
    kept = [path.read_bytes() for path in (tmp_path / "gpusetup/pages").iterdir()]
    assert len(kept) == 3
    assert not any(word in content for content in kept for word in (b"me:word", b"you:other", b"word@"))


def test_a_server_that_says_not_modified_unasked_is_no_answer(page):
    Versioned.etag = None
    fetcher = Fetcher()
    real, Versioned.do_GET = Versioned.do_GET, lambda self: (self.send_response(304), self.end_headers())
    try:
        with pytest.raises(FetchError, match="HTTP 304"):
            fetcher.get(f"http://{page}", accept=ACCEPT)
    finally:
        Versioned.do_GET = real


def test_a_damaged_entry_is_read_anew(page, fetcher, tmp_path):
    fetcher.get(f"http://{page}", accept=ACCEPT)
    (entry,) = (tmp_path / "gpusetup/pages").iterdir()
    entry.write_bytes(entry.read_bytes()[:-3] + b"xxx")
    assert fetcher.get(f"http://{page}", accept=ACCEPT).text == "one"
    assert [condition for _, condition, _ in Versioned.seen] == [None, None]
