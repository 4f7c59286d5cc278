"""pip's configuration: its files in its order, then its variables.

Order of the standard documentation (pip, "Configuration"): global, user, site, the file that PIP_CONFIG_FILE names;
a later file replaces a value, lists too. Section [install] outranks [global] wherever either stands, and variables
outrank both. PIP_CONFIG_FILE=/dev/null switches all files off; when it names a real file the user's files are skipped.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import Setting, malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE = frozenset({"n", "no", "f", "false", "off", "0"})
_ALIASES = {"pypi-url": "index-url", "default-timeout": "timeout"}
_SECTIONS = ("global", "install")

Layer = dict[tuple[str, str], Setting[str]]
"""(section, key) -> value of one file."""


@dataclass(frozen=True, slots=True)
class PipSettings:
    """What pip would use for an install."""

    index_url: Setting[str] | None = None
    extra_index_urls: tuple[Setting[str], ...] = ()
    find_links: tuple[Setting[str], ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout_s: float | None = None
    retries: int | None = None


def read(environ: Mapping[str, str], *, prefix: str, root: Path = Path("/")) -> PipSettings:
    """The settings that a pip started with this environment would have."""
    layers = [parse_file(text, str(path)) for path, text in _texts(config_files(environ, prefix=prefix, root=root))]
    return typed(merged(layers, environ))


def config_files(environ: Mapping[str, str], *, prefix: str, root: Path = Path("/")) -> tuple[Path, ...]:
    """Files that pip reads, in order; most do not exist."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return ()
    home = Path(environ.get("HOME") or Path.home())
    system = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "").split(":") if folder]
    files = [folder / "pip/pip.conf" for folder in system or [root / "etc/xdg"]] + [root / "etc/pip.conf"]
    if not (named and Path(named).exists()):
        files += [home / ".pip/pip.conf", Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"]
    prefixes = dict.fromkeys([prefix, *([environ["VIRTUAL_ENV"]] if environ.get("VIRTUAL_ENV") else [])])
    files += [Path(folder) / "pip.conf" for folder in prefixes]
    return (*files, Path(named)) if named else tuple(files)


def _texts(paths: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    for path in paths:
        try:
            yield path, path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as err:
            raise malformed(str(path), str(err), "a readable text file") from err


def parse_file(text: str, where: str) -> Layer:
    """Values of one pip.conf; InputError names file and line of what is not `key = value` under a section."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, source=where)
    except configparser.MissingSectionHeaderError as err:
        raise malformed(f"{where}, line {err.lineno}", repr(err.line.strip()), "a section such as [global]") from err
    except configparser.ParsingError as err:
        line, found = err.errors[0]
        raise malformed(f"{where}, line {line}", found.strip("'\\n"), "key = value") from err
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as err:
        raise malformed(f"{where}, line {err.lineno}", err.message, "each section and key once") from err
    return {
        (section, _key(key)): Setting(value, f"{where} [{section}] {_key(key)}")
        for section in parser.sections()
        for key, value in parser.items(section)
        if value.strip()
    }


def _key(name: str) -> str:
    name = name.lower().replace("_", "-").removeprefix("--")
    return _ALIASES.get(name, name)


def merged(layers: Iterable[Layer], environ: Mapping[str, str]) -> dict[str, Setting[str]]:
    """The value that counts for each key: later files over earlier, [install] over [global], variables over all."""
    files: Layer = {}
    for layer in layers:
        files.update(layer)
    result = {key: value for wanted in _SECTIONS for (section, key), value in files.items() if section == wanted}
    for name, value in environ.items():
        if name.startswith("PIP_") and value.strip():
            result[_key(name[4:])] = Setting(value, name)
    return result


def typed(values: Mapping[str, Setting[str]]) -> PipSettings:
    """The settings out of their texts; InputError names a number or a truth value that is none."""

    def plain(key: str) -> str | None:
        return values[key].value.strip() if key in values else None

    def several(key: str) -> tuple[Setting[str], ...]:
        setting = values.get(key)
        return tuple(Setting(word, setting.where) for word in setting.value.split()) if setting else ()

    index = values.get("index-url")
    retries = _number(values.get("retries"))
    return PipSettings(
        index_url=Setting(index.value.strip(), index.where) if index else None,
        extra_index_urls=several("extra-index-url"),
        find_links=several("find-links"),
        no_index=_truth(values.get("no-index")),
        trusted_hosts=tuple(setting.value for setting in several("trusted-host")),
        cert=plain("cert"),
        client_cert=plain("client-cert"),
        proxy=plain("proxy"),
        timeout_s=_number(values.get("timeout")),
        retries=int(retries) if retries is not None else None,
    )


def _truth(setting: Setting[str] | None) -> bool:
    word = setting.value.strip().lower() if setting else "no"
    if word not in _TRUE | _FALSE:
        raise malformed(setting.where if setting else "", repr(word), "true or false")
    return word in _TRUE


def _number(setting: Setting[str] | None) -> float | None:
    if setting is None:
        return None
    try:
        return float(setting.value)
    except ValueError as err:
        raise malformed(setting.where, repr(setting.value), "a number") from err
