"""Tiny stand-in wheels, static package indexes for them, and a server that can misbehave.

    python tests/bench/index.py make DIR          wheels and pages (PEP 503 HTML, PEP 691 JSON, PEP 658 metadata)
    python tests/bench/index.py serve DIR [PORT]  serves them on loopback and prints the port

DIR/general/<project>/              the general index: no local version labels
DIR/whl/<cu118|cpu|...>/<project>/  one index per variant, with labels

What the tools make of it (pip 23 and 26, uv 0.8 and 0.13; B is the server), which the tests pin:

| command | outcome |
| --- | --- |
| uv --default-index B/general --index B/whl/cu118, torch==2.4.1 | 2.4.1+cu118: the label need not be typed |
| the same, torch==2.6.0 (only in general) | fails: uv stops at the first index that has the name |
| uv --index-strategy unsafe-best-match, two variants, torch==2.4.1 | the highest label wins: the wrong CUDA |
| uv --index-strategy unsafe-first-match, a version only in the second index | found there |
| pip --index-url B/general --extra-index-url B/whl/cu118, torch | 2.7.0 from general: pip merges indexes |
| torch==2.4.1+cu118 on pip, or bound to one explicit index on uv | exact: what gpusetup writes |
| uv --no-index with an index bound in [tool.uv.sources] | fails, also with --find-links: nothing may be bound then |
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import html
import http.server
import json
import os
import ssl
import sys
import threading
import urllib.parse
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

JSON = "application/vnd.pypi.simple.v1+json"


# --- wheels -------------------------------------------------------------------------------------


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    tag: str = "py3-none-any",
    *,
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
) -> Path:
    """A small real wheel, the same bytes (and hash) every time, with its metadata file beside it."""
    project = name.replace("-", "_")
    info = f"{project}-{version}.dist-info"
    meta = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    meta += [f"Requires-Python: {requires_python}"] if requires_python else []
    meta += [f"Requires-Dist: {requirement}" for requirement in requires]
    python, abi, platform = tag.split("-")[-3:]  # a build tag may stand before them
    tags = [f"Tag: {p}-{a}-{x}" for p in python.split(".") for a in abi.split(".") for x in platform.split(".")]
    body = dict(files if files is not None else {f"{project}/__init__.py": f"__version__ = {version!r}\n"})
    body[f"{info}/METADATA"] = "\n".join(meta) + "\n"
    body[f"{info}/WHEEL"] = "\n".join(["Wheel-Version: 1.0", "Generator: bench", "Root-Is-Purelib: true", *tags]) + "\n"
    body[f"{info}/RECORD"] = "".join(_record_line(path, text) for path, text in body.items()) + f"{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{project}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in body.items():
            archive.writestr(zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0)), text)
    path.with_name(path.name + ".metadata").write_text(body[f"{info}/METADATA"])
    return path


def _record_line(path: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(text.encode())}\n"


def torch_files(version: str, cuda: str | None, *, extra: str = "") -> dict[str, str]:
    """A package `torch` that answers what a verification reads: versions, arch list, a tensor that becomes an array."""
    archs = "sm_80 sm_90" if cuda else ""
    body = f"""
from . import version
__version__ = {version!r}
class _C:
    _cuda_getArchFlags = staticmethod(lambda: {archs!r})
class cuda:
    is_available = staticmethod(lambda: False)
class _Tensor:
    def numpy(self):
        return [1]
def ones(*shape, **_):
    return _Tensor()
{extra}
"""
    return {"torch/__init__.py": body, "torch/version.py": f"__version__ = {version!r}\ncuda = {cuda!r}\n"}


BERT = {
    "transformers/__init__.py": "from .models.bert import BertForSequenceClassification\n__version__ = '5.0.0'\n",
    "transformers/models/__init__.py": "",
    "transformers/models/bert.py": "class BertForSequenceClassification: pass\n",
}


def make_torch(
    folder: Path, version: str, cuda: str | None, *, python: str = "cp311", shown: str | None = None, **more: object
) -> Path:
    """A stub torch wheel; `shown` is what torch.__version__ says when the file name has no label."""
    files = torch_files(shown or version, cuda, extra=str(more.get("extra", "")))
    requires = more.get("requires", ("filelock",))
    tag = f"{python}-{python}-{more.get('platform', 'linux_x86_64')}"
    assert isinstance(requires, (tuple, list))
    return make_wheel(folder, "torch", version, tag, files=files, requires=requires, requires_python=">=3.8")


# --- pages --------------------------------------------------------------------------------------


def write_pages(
    root: Path, *, hashes: bool = True, names_metadata: bool = True, yanked: Sequence[str] = (), kind: str = "both"
) -> None:
    """index.html and index.json in every folder that holds wheels; `kind` is html, json or both."""
    for folder in sorted({path.parent for path in root.rglob("*.whl")}):
        rows, entries = [], []
        for path in sorted(folder.glob("*.whl")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            meta = path.with_name(path.name + ".metadata").read_text()
            meta_digest = hashlib.sha256(meta.encode()).hexdigest()
            needs = next((line.split(": ", 1)[1] for line in meta.splitlines() if line.startswith("Requires-P")), None)
            link = urllib.parse.quote(path.name)  # '+' has to be %2B in an address
            attributes = f' data-core-metadata="sha256={meta_digest}"' if names_metadata else ""
            attributes += ' data-yanked=""' if path.name in yanked else ""
            attributes += f' data-requires-python="{html.escape(needs)}"' if needs else ""
            fragment = f"#sha256={digest}" if hashes else ""
            rows.append(f'<a href="{link}{fragment}"{attributes}>{path.name}</a><br>')
            entry = {"filename": path.name, "url": link, "hashes": {"sha256": digest} if hashes else {}}
            entry |= {"size": path.stat().st_size, "yanked": path.name in yanked}
            entry |= {"core-metadata": {"sha256": meta_digest}} if names_metadata else {}
            entries.append(entry | ({"requires-python": needs} if needs else {}))
        if kind != "json":
            page = "<!DOCTYPE html><html><body>\n" + "\n".join(rows) + "\n</body></html>\n"
            (folder / "index.html").write_text(page)
        if kind != "html":
            document = {"meta": {"api-version": "1.1"}, "name": folder.name, "versions": [], "files": entries}
            (folder / "index.json").write_text(json.dumps(document))


def make_index(root: Path, pythons: Sequence[str] = ("cp310", "cp311")) -> Path:
    """The usual situation: a general index without labels and one index per variant."""
    for version, variant, cuda in (
        ("2.0.1", "cu118", "11.8"),
        ("2.0.1", "cpu", None),
        ("2.4.1", "cu118", "11.8"),
        ("2.4.1", "cu121", "12.1"),
        ("2.4.1", "cu124", "12.4"),
        ("2.4.1", "cpu", None),
        ("2.6.0", "cu124", "12.4"),
    ):
        for python in pythons:
            make_torch(root / "whl" / variant / "torch", f"{version}+{variant}", cuda, python=python)
    general = root / "general"
    for version in ("2.0.1", "2.4.1", "2.6.0", "2.7.0"):
        for python in pythons:
            folder, shown = general / "torch", f"{version}+cu124"
            make_torch(folder, version, "12.4", python=python, shown=shown, platform="manylinux1_x86_64")
    for name, version in (("filelock", "3.15.0"), ("numpy", "1.26.4"), ("numpy", "2.1.0"), ("tokenizers", "0.22.0")):
        make_wheel(general / name, name, version)
    folder = general / "transformers"
    make_wheel(folder, "transformers", "5.0.0", files=BERT, requires=("numpy", "tokenizers"))
    write_pages(root)
    return root


# --- server -------------------------------------------------------------------------------------


@dataclass
class Behaviour:
    """How the server answers paths that start with a key (`$` at its end: that are the key).

    A fault is a status, a text, or `hang`, `drip`, `break`, `cut` (the first half, as if it were all), `huge` (a page
    of 100 MB), `nameless` (an answer without a content type), `to ADDRESS` (a redirect).
    """

    faults: dict[str, int | str] = field(default_factory=dict)
    login: tuple[str, str] | None = None
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    """Ranges that were asked for and answered."""
    logins: list[str | None] = field(default_factory=list)
    """The Authorization header of each request."""
    date: str | None = None
    """What the server says the time is; None: the truth."""
    has_ranges: bool = True
    """Whether ranges are answered; else the whole file comes."""
    stop: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.SimpleHTTPRequestHandler):
    """PEP 691 JSON when asked for by Accept, PEP 503 HTML otherwise, faults first."""

    def __init__(self, *args: object, behaviour: Behaviour, **more: object) -> None:
        self.behaviour = behaviour
        super().__init__(*args, **more)  # type: ignore[arg-type]

    def send_head(self) -> object:  # type: ignore[override]
        self.behaviour.requests.append(self.path)
        self.behaviour.logins.append(self.headers.get("Authorization"))
        wanted = self.behaviour.login
        if wanted is not None:
            token = base64.b64encode(":".join(wanted).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {token}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
        for prefix, fault in self.behaviour.faults.items():
            if self.path == prefix.rstrip("$") or (not prefix.endswith("$") and self.path.startswith(prefix)):
                return self._misbehave(fault)
        path = Path(self.translate_path(self.path)) / "index.json"
        if JSON in self.headers.get("Accept", "") and path.exists():
            return self._answer(path.read_bytes(), JSON)
        path = Path(self.translate_path(self.path))
        if self.behaviour.has_ranges and "Range" in self.headers and path.is_file():
            return self._answer_range(path.read_bytes(), self.headers["Range"])
        return super().send_head()

    def _answer_range(self, body: bytes, wanted: str) -> None:
        self.behaviour.ranges.append(wanted)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last) + 1, len(body)) if first else len(body)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        self.wfile.write(body[start:end])

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:  # type: ignore[override]
        return self.behaviour.date or super().date_time_string(timestamp)  # type: ignore[arg-type]

    def _misbehave(self, fault: int | str) -> None:
        if isinstance(fault, int):
            self.send_error(fault)
        elif fault.startswith("to "):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("to ") + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault == "cut":
            body = Path(self.translate_path(self.path)).read_bytes()
            self._answer(body[: len(body) // 2], "application/octet-stream")
        elif fault == "huge":
            self._send_huge()
        elif fault == "nameless":
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault == "hang":
            self.behaviour.stop.wait(60)
        elif fault == "break":
            path = Path(self.translate_path(self.path))
            body = path.read_bytes() if path.is_file() else b"<html>".ljust(1000)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if path.is_file() else b"<html>")
        elif fault == "drip":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.behaviour.stop.wait(0.05):
                    self.wfile.write(b" ")
                    self.wfile.flush()
        else:
            self._answer(fault.encode(), "text/html")

    def _send_huge(self) -> None:
        piece = b"<a href='torch-9-py3-none-any.whl'>x</a>" * 25_000
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        """Silence: the test that started the server says what matters."""


@contextlib.contextmanager
def serving(
    root: Path, port: int = 0, *, certificate: Path | None = None, clients_of: Path | None = None
) -> Iterator[tuple[str, Behaviour]]:
    """The address of a server over `root` on loopback, and the object that makes it misbehave.

    `certificate` (with its key) makes it speak TLS; `clients_of` is the authority whose certificates clients must show.
    """
    behaviour = Behaviour()
    handler = functools.partial(Handler, directory=os.fspath(root), behaviour=behaviour)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients_of)
        # The handshake waits for the thread of the connection: a client that refuses us must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}", behaviour
    finally:
        behaviour.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make_index(Path(sys.argv[2]))
    else:
        with serving(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0) as (address, _):
            print(address.rpartition(":")[2], flush=True)
            threading.Event().wait()
