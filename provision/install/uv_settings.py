"""uv's configuration: its variables, then uv.toml of the user, then of the system.

Unlike pip, uv adds the lists up, nearest first (uv, "Configuration files"). A project's own [tool.uv] does not count
here: the environment belongs to the machine, not to the folder that the command happens to run in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .addresses import with_login
from .settings import Setting, malformed
from .toml import TomlError, load_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRUE = frozenset({"y", "yes", "t", "true", "on", "1"})


@dataclass(frozen=True, slots=True)
class UvSettings:
    """What uv would use for `uv pip install`."""

    default_index: Setting[str] | None = None
    indexes: tuple[Setting[str], ...] = ()
    find_links: tuple[Setting[str], ...] = ()
    no_index: bool = False
    offline: bool = False
    insecure_hosts: tuple[str, ...] = ()


def read(environ: Mapping[str, str], *, root: Path = Path("/")) -> UvSettings:
    """The settings that a uv started with this environment, outside any project, would have."""
    layers = [parse_variables(environ)]
    for path in config_files(environ, root=root):
        try:
            layers.append(parse_file(path.read_text(encoding="utf-8"), str(path), environ))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as err:
            raise malformed(str(path), str(err), "a readable text file") from err
    return merged(layers)


def config_files(environ: Mapping[str, str], *, root: Path = Path("/")) -> tuple[Path, ...]:
    """uv.toml files in the order of their rank; most do not exist."""
    if environ.get("UV_NO_CONFIG", "").lower() in _TRUE:
        return ()
    if named := environ.get("UV_CONFIG_FILE"):
        return (Path(named),)
    home = Path(environ.get("HOME") or Path.home())
    system = [Path(folder) for folder in environ.get("XDG_CONFIG_DIRS", "").split(":") if folder]
    folders = [Path(environ.get("XDG_CONFIG_HOME") or home / ".config"), *(system or [root / "etc/xdg"]), root / "etc"]
    return tuple(folder / "uv/uv.toml" for folder in folders)


def parse_variables(environ: Mapping[str, str]) -> UvSettings:
    """UV_* variables; newer names outrank older ones. UV_FIND_LINKS is separated by commas, the others by blanks."""

    def first(*names: str) -> str | None:
        return next((name for name in names if environ.get(name, "").strip()), None)

    default = first("UV_DEFAULT_INDEX", "UV_INDEX_URL")
    extra = [name for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL") if name in environ]
    links = environ.get("UV_FIND_LINKS", "").split(",")
    return UvSettings(
        default_index=Setting(_address(environ[default], environ), default) if default else None,
        indexes=tuple(Setting(_address(word, environ), name) for name in extra for word in environ[name].split()),
        find_links=tuple(Setting(word.strip(), "UV_FIND_LINKS") for word in links if word.strip()),
        no_index=environ.get("UV_NO_INDEX", "").lower() in _TRUE,
        offline=environ.get("UV_OFFLINE", "").lower() in _TRUE,
        insecure_hosts=tuple(environ.get("UV_INSECURE_HOST", "").split()),
    )


def _address(word: str, environ: Mapping[str, str]) -> str:
    # `name=address`: the part before the sign is a name when it holds nothing that only an address has.
    name, sign, address = word.strip().partition("=")
    if not sign or set(name) & set(":/?"):
        return word.strip()
    return _with_named_login(address, name, environ)


def _with_named_login(address: str, name: str, environ: Mapping[str, str]) -> str:
    # UV_INDEX_<NAME>_USERNAME and _PASSWORD: every character that a variable cannot hold is an underscore.
    prefix = "UV_INDEX_" + "".join(sign if sign.isalnum() else "_" for sign in name.upper())
    user, password = environ.get(f"{prefix}_USERNAME", ""), environ.get(f"{prefix}_PASSWORD", "")
    return with_login(address, user, password) if user or password else address


def parse_file(text: str, where: str, environ: Mapping[str, str]) -> UvSettings:
    """Values of one uv.toml, table [pip] over the top level; InputError names what is not TOML or not of its type."""
    try:
        table = load_toml(text)
    except TomlError as err:
        raise malformed(where, str(err), "TOML") from err
    pip = _checked(table.get("pip", {}), dict, f"{where} [pip]")
    values = {**table, **pip}
    default: Setting[str] | None = None
    indexes: list[Setting[str]] = []
    flat: list[Setting[str]] = []
    for number, entry in enumerate(_checked(table.get("index", []), list, f"{where} index")):
        place = f"{where} [[index]] {number}"
        address = _checked(_checked(entry, dict, place).get("url"), str, f"{place} url")
        address = _with_named_login(address, str(entry.get("name", "")), environ)
        if entry.get("default"):
            default = Setting(address, place)
        elif not entry.get("explicit"):
            (flat if entry.get("format") == "flat" else indexes).append(Setting(address, place))
    if "index-url" in values and default is None:
        default = Setting(_checked(values["index-url"], str, f"{where} index-url"), f"{where} index-url")
    return UvSettings(
        default_index=default,
        indexes=(*indexes, *_texts(values, "extra-index-url", where)),
        find_links=(*flat, *_texts(values, "find-links", where)),
        no_index=values.get("no-index") is True,
        offline=values.get("offline") is True,
        insecure_hosts=tuple(setting.value for setting in _texts(values, "allow-insecure-host", where)),
    )


def _texts(values: Mapping[str, Any], key: str, where: str) -> tuple[Setting[str], ...]:
    items = _checked(values.get(key, []), list, f"{where} {key}")
    return tuple(Setting(_checked(item, str, f"{where} {key}"), f"{where} {key}") for item in items)


_KINDS: dict[type, str] = {str: "a text", list: "a list", dict: "a table"}


def _checked(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise malformed(where, repr(value), _KINDS[kind])
    return value


def merged(layers: Iterable[UvSettings]) -> UvSettings:
    """All layers as one: the first default counts, lists add up in their order."""
    layers = tuple(layers)
    return UvSettings(
        default_index=next((layer.default_index for layer in layers if layer.default_index), None),
        indexes=tuple(item for layer in layers for item in layer.indexes),
        find_links=tuple(item for layer in layers for item in layer.find_links),
        no_index=any(layer.no_index for layer in layers),
        offline=any(layer.offline for layer in layers),
        insecure_hosts=tuple(item for layer in layers for item in layer.insecure_hosts),
    )
