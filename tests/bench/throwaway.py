"""A throw-away system: this machine's programs over an overlay, its own package databases and its own network.

    with Throwaway(folder, mirror) as box:
        box.run("apt-get", "-y", "install", "nvidia-driver-580-server-open")

Mount and network namespaces are its own, so that commands run word by word as a user would type them: what they write
lands in `folder`, and every host name leads to a server on its loopback that hands out `mirror`/<host>/<path> by http
and https, the certificates being signed by an authority that only the box trusts. Nothing reaches this machine's own
/etc, /var or package database, and nothing reaches the network.

The box starts with no package installed that the caller does not put there (`databases`).
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

ROOT = Path(__file__).parents[2]

#: Folders that the box has for itself, empty or filled by the caller, instead of a view of this machine's own.
OWN = (
    "etc/apt",
    "etc/dnf",
    "etc/yum.repos.d",
    "etc/zypp",
    "etc/modprobe.d",
    "etc/pki",
    "usr/share/keyrings",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/rpm",
    "var/lib/dnf",
    "var/lib/zypp",
    "var/lib/gpusetup",
    "var/log",
    "run",
    "tmp",
    "root",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    argv: tuple[str, ...]
    exit_code: int
    out: str
    err: str

    def ok(self) -> str:
        """Its stdout; AssertionError with everything it said where it failed."""
        assert self.exit_code == 0, f"{self.argv} ended with {self.exit_code}\n{self.out}\n{self.err}"
        return self.out


def why_not(folder: Path) -> str | None:
    """Why there can be no such box on this machine; None where there can."""
    missing = [name for name in ("unshare", "openssl", "ip") if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here"
    for part in ("lower", "upper", "work", "merged"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    trial = [*_namespaces(), "mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"]
    ended = subprocess.run(trial, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else f"no overlay in a mount namespace: {ended.stderr.strip()}"


def _namespaces() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--net", "--propagation", "private"]


class Throwaway:
    """One box; `files` in it are at `path("etc/...")` as long as the folder stands."""

    def __init__(self, folder: Path, mirror: Path, *, hosts: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._mirror = mirror
        self._hosts = hosts or tuple(sorted(one.name for one in mirror.iterdir() if one.is_dir()))
        self._child: subprocess.Popen[str] | None = None
        for part in ("upper", "work", "merged", *(f"own/{name}" for name in OWN)):
            (folder / part).mkdir(parents=True, exist_ok=True)
        _certificates(folder / "tls", self._hosts)
        self.restart()

    def restart(self) -> None:
        """From now on the kernel tells another boot id; nothing else of a restart happens."""
        (self.folder / "boot_id").write_text(f"{uuid.uuid4()}\n", encoding="utf-8")

    def hide(self, inside: str) -> None:
        """This machine's file is not there in the box; before it is started."""
        path = self.path(inside)
        if (Path("/") / inside).exists() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))  # what overlayfs takes for: removed

    def path(self, inside: str) -> Path:
        """Where a file of the box stands on this machine, for reading; for writing while the box is not running."""
        inside = inside.lstrip("/")
        if any(inside == name or inside.startswith(f"{name}/") for name in OWN):
            return self.folder / "own" / inside
        return self.folder / "upper" / inside

    def write(self, inside: str, text: str | bytes, *, mode: int = 0o644) -> Path:
        """A file of the box, before it is started."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    def __enter__(self) -> Self:
        command = [*_namespaces(), sys.executable, "-I", __file__, self.folder, self._mirror, *self._hosts]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        ready = self._pipes()[1].readline()
        assert ready == "ready\n", f"the box did not start: {ready!r}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._pipes()[0].close()
            self._child.wait(timeout=30)

    def run(self, *argv: str, env: Mapping[str, str] | None = None, stdin: str = "", timeout_s: float = 120) -> Ran:
        """Runs a command inside; one that lasts longer than its time is killed and ends with 124."""
        to_box, from_box = self._pipes()
        to_box.write(json.dumps({"argv": argv, "env": dict(env or {}), "stdin": stdin, "timeout_s": timeout_s}) + "\n")
        to_box.flush()
        answer = json.loads(from_box.readline())
        return Ran(argv, answer["exit_code"], answer["out"], answer["err"])

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        return self._child.stdin, self._child.stdout


def _certificates(folder: Path, hosts: tuple[str, ...]) -> None:
    """ca.pem, and host.pem for every host: both made here, both worth nothing outside the box."""
    folder.mkdir(parents=True, exist_ok=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    ca = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=throw-away authority"]
    for_all = ",".join(f"DNS:{host}" for host in (*hosts, "localhost"))
    request = ["-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=throw-away host"]
    (folder / "names").write_text(f"subjectAltName={for_all}\n", encoding="utf-8")
    sign = ["-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "host.crt"]
    for command in (
        ["req", *curve, *ca],
        ["req", *curve, *request],
        ["x509", "-req", *sign, "-days", "3650", "-extfile", "names"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    both = (folder / "host.key").read_bytes() + (folder / "host.crt").read_bytes()
    (folder / "host.pem").write_bytes(both)


# --- inside the namespaces ----------------------------------------------------------------------


class _Mirror(http.server.SimpleHTTPRequestHandler):
    """Hands out mirror/<host>/<path>; anything else is 404."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        host = (self.headers.get("Host") or "").partition(":")[0]
        return super().translate_path(f"/{host}/{path.partition('?')[0].lstrip('/')}")

    def log_message(self, *_: object) -> None:
        pass


def _serve(mirror: str, tls: Path) -> None:
    handler = functools.partial(_Mirror, directory=mirror)
    for port in (80, 443):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        if port == 443:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "host.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, stdout=sys.stderr)


def _assemble(folder: Path, mirror: str, hosts: list[str]) -> Path:
    """The overlay with what the box has for itself bound over it."""
    merged = folder / "merged"
    options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    _mount("-t", "overlay", "overlay", "-o", options, merged)
    for name in OWN:
        (merged / name).mkdir(parents=True, exist_ok=True)
        _mount("--bind", folder / "own" / name, merged / name)
    needed = {ROOT, Path(sys.prefix), Path(sys.base_prefix), folder, Path(mirror)}
    for inside in sorted(str(path).lstrip("/") for path in needed if path.is_dir() and path != Path("/")):
        if not any(
            (merged / inside).glob("*")
        ):  # the overlay does not show other file systems, nor what stands in a folder of its own
            (merged / inside).mkdir(parents=True, exist_ok=True)
            _mount("--bind", f"/{inside}", merged / inside)
    for name in ("proc", "dev"):
        _mount("--rbind", f"/{name}", merged / name)
    _mount("--bind", folder / "boot_id", merged / "proc/sys/kernel/random/boot_id")
    names = "".join(f"127.0.0.1 {host}\n" for host in ("localhost", *hosts))
    (folder / "hosts").write_text(names, encoding="utf-8")
    bundle = merged / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    for target, source in ((merged / "etc/hosts", folder / "hosts"), (bundle, folder / "tls/ca.pem")):
        target.touch()
        _mount("--bind", source, target)
    return merged


def _answer(request: dict[str, object], merged: Path) -> dict[str, object]:
    """One command, in the box's root, with nothing of this machine's environment but what a login gives."""
    environ = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        **request["env"],  # type: ignore[dict-item]
    }
    command = ["chroot", str(merged), *request["argv"]]  # type: ignore[misc]
    try:
        ended = subprocess.run(
            command,
            env=environ,
            input=request["stdin"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=request["timeout_s"],  # type: ignore[arg-type]
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return {"exit_code": 124, "out": str(late.stdout), "err": str(late.stderr)}
    return {"exit_code": ended.returncode, "out": ended.stdout, "err": ended.stderr}


def _inside(folder: str, mirror: str, *hosts: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    merged = _assemble(Path(folder), mirror, list(hosts))
    _serve(mirror, Path(folder) / "tls")
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 443), timeout=5):
        pass
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), merged)), flush=True)


if __name__ == "__main__":
    _inside(*sys.argv[1:])
