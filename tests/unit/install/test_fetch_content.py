"""Small files by their bytes, such as signing keys."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from provision.driver_setup import _fetch_key
from provision.install.fetching import Fetcher, FetchError

ANSWERS = {"/key": (200, b"\x99\x00\xff"), "/large": (200, b"x" * 5000), "/busy": (503, b"")}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body = ANSWERS.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        made.shutdown()


def address(server, path):
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


def test_the_bytes_come_as_they_are(server):
    assert Fetcher().content(address(server, "/key"), 1000) == b"\x99\x00\xff"
    assert _fetch_key(address(server, "/key")) == b"\x99\x00\xff"


def test_a_file_that_is_too_large_or_not_there_is_refused(server):
    with pytest.raises(FetchError, match="more than was asked for"):
        Fetcher().content(address(server, "/large"), 1000)
    with pytest.raises(FetchError, match="HTTP 404"):
        Fetcher().content(address(server, "/none"), 1000)


def test_a_busy_server_is_asked_once_more_and_the_reason_is_told(server):
    with pytest.raises(OSError, match="HTTP 503"):
        _fetch_key(address(server, "/busy"))
    assert server.asked == ["/busy", "/busy"]


def test_other_schemes_are_not_fetched(tmp_path):
    with pytest.raises(OSError, match="scheme"):
        _fetch_key(f"file://{tmp_path}/key")
