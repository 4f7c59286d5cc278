"""The user's own package configuration, read as pip and uv read it, with the place that named each value.

Nothing here knows a registry's address: with nothing configured, the default index is the installer's built-in one.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..records import Source
from . import pip_settings, uv_settings
from .addresses import as_address, secrets_of, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .settings import Setting

PYTORCH_INDEX = "https://download.pytorch.org/whl"


@dataclass(frozen=True, slots=True)
class Location:
    """A package source with the address that backends get; only `source` is ever shown or stored."""

    source: Source
    secret_url: str = field(repr=False)

    @property
    def url(self) -> str:
        """The address without credentials."""
        return self.source.url


@dataclass(frozen=True, slots=True)
class PackageConfiguration:
    """Where packages may come from, and how the network is reached."""

    default_index: Location | None = None
    """None: the one that is built into the installer."""
    extra_indexes: tuple[Location, ...] = ()
    find_links: tuple[Location, ...] = ()
    no_index: bool = False
    offline: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = field(default=None, repr=False)
    timeout_s: float | None = None
    retries: int | None = None
    merges_indexes: bool = False
    """Extra indexes come from pip's configuration, where all indexes count alike: a version that the first one
    lacks is taken from the next."""
    torch_index: str | None = field(default=None, repr=False)
    """Address that replaces https://download.pytorch.org/whl; the variant is appended."""
    has_system_certificates: bool = False
    """Whether the machine has a store of authorities, which pip (from 24.2 on) trusts and uv does when it is told."""
    known_day: str | None = None
    """A day that has certainly come (2026-11-20); a clock before it is wrong."""

    @property
    def locations(self) -> tuple[Location, ...]:
        """Everything that the user configured, nearest first."""
        default = (self.default_index,) if self.default_index else ()
        return self.find_links if self.no_index else (*self.find_links, *self.extra_indexes, *default)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be printed or stored."""
        addresses = [location.secret_url for location in (*self.locations, *self.extra_indexes)]
        return secrets_of(address for address in (*addresses, self.proxy, self.torch_index) if address)

    def variant_index(self, build_index: str, variant: str) -> Location:
        """The wheel index of one variant: the matrix's address, or the user's replacement for its base."""
        if self.torch_index is None:
            return Location(Source("index", shown(build_index), name="matrix"), build_index)
        address = f"{self.torch_index.rstrip('/')}/{variant}"
        return Location(Source("index", shown(address), name="--torch-index"), address)


def read_configuration(
    environ: Mapping[str, str] | None = None,
    *,
    torch_index: str | None = None,
    folder: Path | None = None,
    prefix: str | None = None,
    root: Path = Path("/"),
) -> PackageConfiguration:
    """What pip's and uv's files and variables say now; InputError names a file that cannot be read as such.

    `folder` resolves relative paths (default: here), `prefix` holds the site file of pip, `root` the system files.
    """
    environ = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    pip = pip_settings.read(environ, prefix=prefix or sys.prefix, root=root)
    uv = uv_settings.read(environ, root=root)
    base = torch_index or environ.get("GPUSETUP_TORCH_INDEX") or None
    found = combine(pip, uv, folder=folder, torch_index=as_address(base, folder) if base else None)
    return replace(found, has_system_certificates=_has_system_certificates())


def _has_system_certificates() -> bool:
    import ssl

    places = ssl.get_default_verify_paths()
    return bool(places.cafile or (places.capath and any(Path(places.capath).iterdir())))


def combine(
    pip: pip_settings.PipSettings,
    uv: uv_settings.UvSettings,
    *,
    folder: Path,
    torch_index: str | None = None,
) -> PackageConfiguration:
    """One configuration out of both tools': uv's default index outranks pip's, everything else adds up."""
    default = uv.default_index or pip.index_url

    def locations(kind: Literal["index", "flat"], settings: Iterable[Setting[str]]) -> tuple[Location, ...]:
        found = {item.url: item for item in reversed([_location(kind, entry, folder) for entry in settings])}
        return tuple(reversed(found.values()))

    return PackageConfiguration(
        default_index=_location("index", default, folder, is_default=True) if default else None,
        extra_indexes=locations("index", (*uv.indexes, *pip.extra_index_urls)),
        find_links=locations("flat", (*uv.find_links, *pip.find_links)),
        no_index=pip.no_index or uv.no_index,
        offline=uv.offline,
        trusted_hosts=tuple(dict.fromkeys((*pip.trusted_hosts, *uv.insecure_hosts))),
        cert=pip.cert,
        client_cert=pip.client_cert,
        proxy=pip.proxy,
        timeout_s=pip.timeout_s,
        retries=pip.retries,
        merges_indexes=bool(pip.extra_index_urls),
        torch_index=torch_index,
    )


def _location(
    kind: Literal["index", "flat"], setting: Setting[str], folder: Path, *, is_default: bool = False
) -> Location:
    address = as_address(setting.value, folder)
    return Location(Source(kind, shown(address), name=setting.where, is_default=is_default), address)
