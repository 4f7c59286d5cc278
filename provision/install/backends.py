"""The two installers behind one seam: command lines and environments for uv and for pip. Pure; `apply` runs them.

Credentials travel in the environment only: argv is world-readable on Linux.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from .addresses import credentials
from .lock import INDEX_NAME, render_pylock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .configuration import Location, PackageConfiguration
    from .lock import Lock, LockedWheel

# Settings of the surrounding shell or project that would change what is installed or where. Everything else that the
# user set for the tool (cache, link mode, concurrency, timeouts, keyring, ...) counts.
_NOT_UV = frozenset(
    {
        "CONDA_PREFIX",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_BREAK_SYSTEM_PACKAGES",
        "UV_BUILD_CONSTRAINT",
        "UV_COMPILE_BYTECODE",
        "UV_CONSTRAINT",
        "UV_CUSTOM_COMPILE_COMMAND",
        "UV_DEFAULT_INDEX",
        "UV_ENV_FILE",
        "UV_EXCLUDE",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_FORK_STRATEGY",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_NO_BINARY",
        "UV_NO_BINARY_PACKAGE",
        "UV_NO_BUILD",
        "UV_NO_BUILD_PACKAGE",
        "UV_NO_SOURCES",
        "UV_NO_VERIFY_HASHES",
        "UV_ONLY_BINARY",
        "UV_OVERRIDE",
        "UV_PREFIX",
        "UV_PRERELEASE",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PYTHON",
        "UV_REQUIRE_HASHES",
        "UV_RESOLUTION",
        "UV_SYSTEM_PYTHON",
        "UV_TARGET",
        "UV_TORCH_BACKEND",
        "UV_VENV_SEED",
        "UV_WORKING_DIR",
        "UV_WORKING_DIRECTORY",
        "VIRTUAL_ENV",
    }
)
_PIP_KEPT = frozenset(
    {
        "PIP_CACHE_DIR",
        "PIP_KEYRING_PROVIDER",
        "PIP_NO_CACHE_DIR",
        "PIP_USE_DEPRECATED",
        "PIP_USE_FEATURE",
    }
)


BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name a bundle of authorities: OpenSSL's and uv's, then those of pip's network library."""


_UV_STORES = ("SSL_CERT_DIR", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of an installation; the environment may hold credentials and is never shown."""

    label: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)


class Backend(Protocol):
    """An installer: what it is called, and the command that installs a lock into an environment."""

    @property
    def name(self) -> str:
        """`uv` or `pip`."""

    def lock_files(self, lock: Lock) -> tuple[tuple[str, str], ...]:
        """Name and text of the file that lists what to install, and of those that it needs beside it."""

    def install(self, environment: Path, lock_file: Path, base: Mapping[str, str]) -> Step:
        """The command that fills `environment` with exactly what the file lists."""


@dataclass(frozen=True, slots=True)
class UvBackend:
    """uv: resolves, and installs from pylock.toml without looking anything up again."""

    binary: str
    configuration: PackageConfiguration
    location: Location | None = None
    """Where torch comes from."""
    compile_bytecode: bool = True
    # uv leaves bytecode to the first import, which then takes seconds and never ends for users who cannot write there.
    name: str = "uv"

    def compile(
        self, project: Path, output: Path, python: str, base: Mapping[str, str], *, target: tuple[str, ...] = ()
    ) -> Step:
        """The command that resolves a pyproject.toml into pylock.toml for one interpreter, wheels only.

        `target` are options that name another Python and platform than that interpreter's.
        """
        argv = [self.binary, "pip", "compile", str(project), "--output-file", str(output), "--format", "pylock.toml"]
        # A version instead of a path: the interpreter is not there yet, and the plan is only rehearsed.
        argv += ["--python-version" if python[:1].isdigit() else "--python", python]
        argv += ["--only-binary", ":all:", "--no-header", "--no-annotate", "--quiet", "--upgrade"]
        argv += target
        if self.configuration.no_index:
            argv.append("--no-index")  # there is no variable for it
        elif self.configuration.merges_indexes and "UV_INDEX_STRATEGY" not in base:
            # pip's users expect a version that the first index lacks to come from the next. Not best-match: that one
            # takes the highest local label of all indexes. torch itself is bound to its source either way.
            argv += ["--index-strategy", "unsafe-first-match"]
        return Step("resolve", tuple(argv), uv_environment(base, self.configuration, self.location))

    def fetch_python(self, python: str, base: Mapping[str, str]) -> Step:
        """The command that fetches an interpreter into uv's own folder, and puts nothing anywhere else.

        No executable on PATH: only gpusetup's environments shall find it. Mirrors and proxies are uv's own settings.
        """
        variables = uv_environment(base, self.configuration, None) | {"UV_PYTHON_DOWNLOADS": "manual"}
        return Step("python", (self.binary, "python", "install", "--no-bin", python), variables)

    def lock_files(self, lock: Lock) -> tuple[tuple[str, str], ...]:
        """pylock.toml names every file's address and hash, so nothing is looked up a second time."""
        return (("pylock.toml", render_pylock(lock)),)

    def install(self, environment: Path, lock_file: Path, base: Mapping[str, str]) -> Step:
        """`uv pip install -r pylock.toml`; the link mode is left to uv: reflink or hard link, else copy."""
        argv = [self.binary, "pip", "install", "--python", str(environment / "bin/python"), "-r", str(lock_file)]
        argv += ["--no-deps", "--only-binary", ":all:"]
        if self.compile_bytecode:
            argv.append("--compile-bytecode")
        if self.configuration.no_index:
            argv.append("--no-index")
        variables = uv_environment(base, self.configuration, self.location)
        if self.location is not None and credentials(self.location.secret_url):
            # Files named by a pylock.toml get the login of a known index of their host, and the project's own index
            # is not known here. Nothing is looked up in it: a pylock.toml needs no index.
            variables["UV_INDEX"] = f"{self.location.secret_url} {variables.get('UV_INDEX', '')}".strip()
        return Step("install", tuple(argv), variables)


@dataclass(frozen=True, slots=True)
class PipBackend:
    """pip: installs the same files with hashes required; `--python` serves an environment that has no pip.

    Its indexes are switched off: a page with one link per file is all that it sees, so nothing is looked up again and
    no other source is asked. A file that wants the login of a configured source is named by its address instead (pip
    gives logins of indexes to no page), the login in variables that pip puts in; such a distribution notes the address
    in its direct_url.json, which is all that differs from what uv installs.
    """

    pip: tuple[str, ...]
    configuration: PackageConfiguration
    location: Location | None = None
    """Where torch comes from."""
    compile_bytecode: bool = True
    name: str = "pip"

    def lock_files(self, lock: Lock) -> tuple[tuple[str, str], ...]:
        """Pinned requirements with hashes, and the page that holds the address of each file."""
        variables = {host: variable for variable, (host, _) in self._logins().items()}
        lines = ["--no-index", f"--find-links {_PAGE}"]
        lines += [_requirement(wheel, variables.get(host_of(wheel.url))) for wheel in lock.wheels]
        links = [_link(wheel) for wheel in lock.wheels if host_of(wheel.url) not in variables]
        page = "<!DOCTYPE html><html><body>\n" + "".join(links) + "</body></html>\n"
        return ("lock.txt", "\n".join(lines) + "\n"), (_PAGE, page)

    def install(self, environment: Path, lock_file: Path, base: Mapping[str, str]) -> Step:
        """`pip install --require-hashes`, dependencies off: the list is complete."""
        argv = [*self.pip, "--python", str(environment / "bin/python"), "install", "-r", str(lock_file)]
        argv += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-warn-script-location"]
        if not self.compile_bytecode:
            argv.append("--no-compile")
        variables = pip_environment(base, self.configuration)
        variables |= {variable: login for variable, (_, login) in self._logins().items()}
        return Step("install", tuple(argv), variables)

    def _logins(self) -> dict[str, tuple[tuple[str, str], str]]:
        """Host and login by the variable that carries the login, for each host that is configured with one."""
        sources = (*([self.location] if self.location else []), *self.configuration.locations)
        found: dict[tuple[str, str], str] = {}
        for source in sources:
            if login := credentials(source.secret_url):
                found.setdefault(host_of(source.url), ":".join(quote(word, safe="") for word in login))
        return {f"{_LOGIN}{number}": entry for number, entry in enumerate(found.items())}


def uv_environment(
    base: Mapping[str, str], configuration: PackageConfiguration, location: Location | None
) -> dict[str, str]:
    """Variables for uv: the user's sources, certificates and proxy, and nothing that redirects the installation."""
    result = {name: value for name, value in base.items() if name not in _NOT_UV and not name.startswith("PIP_")}
    features = [word for word in result.get("UV_PREVIEW_FEATURES", "").split(",") if word]
    result |= {
        "NO_COLOR": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PREVIEW_FEATURES": ",".join([*features, "pylock"]),  # else each pylock.toml draws a warning
    }
    if configuration.offline:
        result["UV_OFFLINE"] = "1"
    if configuration.default_index is not None:
        result["UV_DEFAULT_INDEX"] = configuration.default_index.secret_url
    if configuration.extra_indexes:
        result["UV_INDEX"] = " ".join(item.secret_url for item in configuration.extra_indexes)
    if configuration.find_links:
        result["UV_FIND_LINKS"] = ",".join(item.secret_url.replace(",", "%2C") for item in configuration.find_links)
    if location is not None:
        result |= index_login(INDEX_NAME, location)
    named = configuration.cert or any(base.get(name) for name in (*BUNDLES, *_UV_STORES))
    if configuration.has_system_certificates and not named:
        # As pip does: an authority of one's own mostly stands in the machine's store. Old and new name of the setting.
        result |= dict.fromkeys(("UV_NATIVE_TLS", "UV_SYSTEM_CERTS"), "1")
    return result | _network(base, configuration, _UV_NETWORK)


def index_login(name: str, location: Location) -> dict[str, str]:
    """Uv's variables for the login of an index that a pyproject.toml names; none where the address has no login."""
    login = credentials(location.secret_url)
    prefix = "UV_INDEX_" + name.upper().replace("-", "_")
    return {f"{prefix}_USERNAME": login[0], f"{prefix}_PASSWORD": login[1]} if login else {}


_PAGE = "files.html"
_LOGIN = "GPUSETUP_LOGIN_"


def host_of(address: str) -> tuple[str, str]:
    """Scheme, and host with port: what a login is for."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _requirement(wheel: LockedWheel, variable: str | None) -> str:
    digest = f"--hash=sha256:{wheel.sha256}"
    if variable is None:
        return f"{wheel.name}=={wheel.version} {digest}"
    scheme, _, rest = wheel.url.partition("://")
    return f"{wheel.name} @ {scheme}://${{{variable}}}@{rest} {digest}"


def _link(wheel: LockedWheel) -> str:
    return f'<a href="{html.escape(wheel.url)}#sha256={wheel.sha256}">{html.escape(wheel.filename)}</a><br>\n'


def pip_environment(base: Mapping[str, str], configuration: PackageConfiguration) -> dict[str, str]:
    """Variables for pip, its files switched off: the list that it gets says where everything is.

    What its files may say else (target, user, constraint, ...) would put the packages elsewhere.
    """
    result = {name: value for name, value in base.items() if not name.startswith("PIP_") or name in _PIP_KEPT}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        result.pop(name, None)
    result |= {"PIP_CONFIG_FILE": "/dev/null", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    result |= {"PIP_NO_COLOR": "1", "PIP_PROGRESS_BAR": "off"}
    bundles = {name: base[name] for name in BUNDLES if name in base}
    return result | _network(bundles, configuration, _PIP_NETWORK)


_UV_NETWORK = {
    "cert": ("SSL_CERT_FILE",),
    "client_cert": ("SSL_CLIENT_CERT",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
    "trusted_hosts": ("UV_INSECURE_HOST",),
    "timeout": ("UV_HTTP_TIMEOUT",),
    "retries": ("UV_HTTP_RETRIES",),
}
_PIP_NETWORK = {
    "cert": ("PIP_CERT",),
    "client_cert": ("PIP_CLIENT_CERT",),
    "proxy": ("PIP_PROXY",),
    "trusted_hosts": ("PIP_TRUSTED_HOST",),
    "timeout": ("PIP_TIMEOUT",),
    "retries": ("PIP_RETRIES",),
}


def _network(
    base: Mapping[str, str], configuration: PackageConfiguration, names: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    timeout, retries = configuration.timeout_s, configuration.retries
    bundle = next((base[name] for name in BUNDLES if base.get(name)), None)
    values = {
        "cert": configuration.cert or bundle,
        "client_cert": configuration.client_cert,
        "proxy": configuration.proxy,
        "trusted_hosts": " ".join(configuration.trusted_hosts) or None,
        "timeout": f"{timeout:.0f}" if timeout is not None else None,
        "retries": str(retries) if retries is not None else None,
    }
    # What is already in the environment was set for this very tool and outranks what the other tool's file says; but
    # the bundle of the machine does not outrank the one that pip's configuration names for the package sources.
    return {
        name: value
        for key, value in values.items()
        if value
        for name in names[key]
        if key == "cert" or not base.get(name)
    }
