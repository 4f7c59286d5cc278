"""A certificate authority for tests: openssl makes it in some ten milliseconds, with dates as they are wanted."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
serial = serial
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A folder with `ca.pem`, which tests trust, and the certificates that it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        (folder / "ca.cnf").write_text(_CONFIGURATION)
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01\n")
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "36500", *_CN, *extensions)

    def sign(self, name: str, start: str = "20200101000000Z", end: str = "21200101000000Z") -> Path:
        """A file with key and certificate for 127.0.0.1, for a server or a client, valid between two moments."""
        names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self._openssl("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", *names)
        signing = ("-cert", "ca.pem", "-keyfile", "ca.key", "-in", f"{name}.csr", "-out", f"{name}.crt")
        self._openssl("ca", "-batch", "-notext", "-config", "ca.cnf", *signing, "-startdate", start, "-enddate", end)
        path = self.folder / f"{name}.pem"
        path.write_text((self.folder / f"{name}.crt").read_text() + (self.folder / f"{name}.key").read_text())
        return path

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)


_CN = ("-subj", "/CN=bench authority")
