"""Configuration layers: literals for the parsers, small trees of files for the readers."""

from __future__ import annotations

import pytest

from provision.errors import InputError
from provision.install import pip_settings, uv_settings
from provision.install.addresses import as_address, redact, secrets_of, shown
from provision.install.configuration import read_configuration
from provision.install.settings import Setting


def read(tmp_path, torch_index=None, **values):
    environ = {"HOME": str(tmp_path / "home"), **values}
    root, prefix = tmp_path / "root", str(tmp_path / "prefix")
    return read_configuration(environ, root=root, prefix=prefix, folder=tmp_path, torch_index=torch_index)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def urls(locations):
    return [location.url for location in locations]


def test_nothing_configured_means_the_installers_own_index(tmp_path):
    found = read(tmp_path)
    assert found.default_index is None
    assert found.locations == ()
    assert not found.merges_indexes


def test_later_layers_replace_lists(tmp_path):
    write(tmp_path / "root/etc/pip.conf", "[global]\nextra-index-url = https://a/s\n  https://b/s\nfind-links = /w\n")
    assert urls(read(tmp_path).extra_indexes) == ["https://a/s", "https://b/s"]
    write(tmp_path / "home/.config/pip/pip.conf", "[global]\nextra-index-url = https://c/s\n")
    assert urls(read(tmp_path).extra_indexes) == ["https://c/s"]
    assert urls(read(tmp_path).find_links) == ["file:///w"]
    write(tmp_path / "prefix/pip.conf", "[global]\nextra_index_url = https://d/s\n")
    assert urls(read(tmp_path).extra_indexes) == ["https://d/s"]
    write(tmp_path / "root/etc/xdg/pip/pip.conf", "[install]\nextra-index-url = https://e/s\n")
    assert urls(read(tmp_path).extra_indexes) == ["https://e/s"], "[install] outranks [global] of every file"
    found = read(tmp_path, PIP_EXTRA_INDEX_URL="https://f/s")
    assert urls(found.extra_indexes) == ["https://f/s"]
    assert found.extra_indexes[0].source.name == "PIP_EXTRA_INDEX_URL"
    assert found.merges_indexes


def test_where_a_value_was_named(tmp_path):
    path = tmp_path / "root/etc/pip.conf"
    write(path, "[global]\nfind-links = wheels\n")
    source = read(tmp_path).find_links[0].source
    assert source.name == f"{path} [global] find-links"
    assert source.url == f"file://{tmp_path}/wheels"


def test_pip_config_file(tmp_path):
    write(tmp_path / "root/etc/pip.conf", "[global]\nindex-url = https://a/s\n")
    write(tmp_path / "home/.config/pip/pip.conf", "[global]\nindex-url = https://b/s\n")
    write(tmp_path / "own.conf", "[global]\nno-index = yes\n")
    assert read(tmp_path, PIP_CONFIG_FILE="/dev/null").default_index is None
    found = read(tmp_path, PIP_CONFIG_FILE=str(tmp_path / "own.conf"))
    assert found.no_index
    assert found.default_index.url == "https://a/s", "the user's files are skipped, the system's are not"
    assert read(tmp_path, PIP_CONFIG_FILE="/nowhere").default_index.url == "https://b/s"


def test_empty_values_are_ignored(tmp_path):
    write(tmp_path / "root/etc/pip.conf", "[global]\nindex-url = https://a/s\n[install]\nindex-url =\n")
    assert read(tmp_path, PIP_INDEX_URL="").default_index.url == "https://a/s"


def test_network_settings(tmp_path):
    text = "[global]\ntrusted-host = a b:8\ncert = /c\nclient_cert = /d\n"
    text += "proxy = http://u:pw12@p:1\ntimeout = 7\nretries = 2\n"
    found = read(tmp_path, PIP_DEFAULT_TIMEOUT="9")
    assert found.timeout_s == 9
    write(tmp_path / "root/etc/pip.conf", text)
    found = read(tmp_path)
    assert (found.trusted_hosts, found.cert, found.client_cert) == (("a", "b:8"), "/c", "/d")
    assert (found.proxy, found.timeout_s, found.retries) == ("http://u:pw12@p:1", 7, 2)
    assert "pw12" not in repr(found)


@pytest.mark.parametrize(
    ("text", "place", "found", "expected"),
    [
        ("index-url = x\n", ", line 1", "'index-url = x'", "a section such as [global]"),
        ("[global]\nindex-url\n", ", line 2", "index-url", "key = value"),
        ("[global]\na = 1\na = 2\n", ", line 3", "already exists", "each section and key once"),
        ("[global]\nno-index = maybe\n", " [global] no-index", "'maybe'", "true or false"),
        ("[global]\ntimeout = soon\n", " [global] timeout", "'soon'", "a number"),
    ],
)
def test_malformed_pip_conf_names_file_line_found_expected(tmp_path, text, place, found, expected):
    path = tmp_path / "root/etc/pip.conf"
    write(path, text)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    evidence = caught.value.evidence[0]
    assert evidence.source == f"{path}{place}"
    assert found in str(evidence.value)
    assert evidence.needs == expected
    assert caught.value.exit_code == 7


def test_uv_variables(tmp_path):
    found = read(
        tmp_path,
        UV_INDEX="mine=https://a/s https://b/s?x=1",
        UV_INDEX_MINE_USERNAME="me",
        UV_INDEX_MINE_PASSWORD="p w",  # noqa: S106
        UV_DEFAULT_INDEX="https://c/s",
        UV_FIND_LINKS="/x,https://d/links",
        UV_OFFLINE="1",
    )
    assert urls(found.extra_indexes) == ["https://a/s", "https://b/s"]
    assert found.extra_indexes[0].secret_url == "https://me:p%20w@a/s"  # noqa: S105
    assert found.default_index.url == "https://c/s"
    assert urls(found.find_links) == ["file:///x", "https://d/links"]
    assert found.offline
    assert not found.merges_indexes


def test_uv_toml(tmp_path):
    text = """
find-links = ["/y"]
[[index]]
url = "https://a/s"
[[index]]
url = "https://b/s"
default = true
[[index]]
url = "https://c/s"
explicit = true
[[index]]
url = "https://d/flat"
format = "flat"
[pip]
no-index = true
"""
    write(tmp_path / "home/.config/uv/uv.toml", text)
    found = read(tmp_path, PIP_INDEX_URL="https://pip/s")
    assert urls(found.extra_indexes) == ["https://a/s"]
    assert found.default_index.url == "https://b/s", "uv's default outranks pip's"
    assert urls(found.find_links) == ["https://d/flat", "file:///y"]
    assert found.no_index
    assert read(tmp_path, UV_NO_CONFIG="1").extra_indexes == ()


@pytest.mark.parametrize("text", ["index = 3", "[[index]]\nname = 'x'", "find-links = 'x'", "= 1"])
def test_malformed_uv_toml(tmp_path, text):
    write(tmp_path / "home/.config/uv/uv.toml", text)
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert str(tmp_path / "home/.config/uv/uv.toml") in caught.value.evidence[0].source


def test_torch_index_replaces_the_base(tmp_path):
    found = read(tmp_path, torch_index="https://me:secret1@mirror/whl/")
    assert found.variant_index("https://x/whl/cu128", "cu128").url == "https://mirror/whl/cu128"
    assert found.variant_index("https://x/whl/cu128", "cu128").secret_url == "https://me:secret1@mirror/whl/cu128"  # noqa: S105
    assert "secret1" not in repr(found)
    assert read(tmp_path).variant_index("https://x/whl/cu128", "cu128").url == "https://x/whl/cu128"
    assert read(tmp_path, GPUSETUP_TORCH_INDEX="mirror").torch_index == f"file://{tmp_path}/mirror"


def test_login_of_a_proxy_in_the_environment_is_a_secret(tmp_path):
    found = read(tmp_path, https_proxy="http://me:pw%2F12@p:1", ALL_PROXY="http://other:word34@p:1", NO_PROXY="a")
    assert set(found.secrets) == {"pw%2F12", "pw/12", "word34"}
    assert "word34" not in repr(found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:pw@host:8080/simple/?token=abc#x", "https://host:8080/simple/"),
        ("https://token@host/simple", "https://host/simple"),
        ("file:///a%20b", "file:///a%20b"),
    ],
)
def test_shown_address_has_no_secret(address, expected):
    assert shown(address) == expected


def test_redaction_of_a_tools_output():
    text = "\x1b[31merror\x1b[0m: https://me:pass@word@host/x?sig=abcdef and tok%20en1 tok en1"
    assert redact(text, secrets_of(["https://tok%20en1@h/"])) == "error: https://host/x and **** ****"


def test_paths_with_separators_become_addresses(tmp_path):
    assert as_address("a b,c", tmp_path) == f"file://{tmp_path}/a%20b%2Cc"


def test_pip_sections_of_other_commands_do_not_count():
    layer = pip_settings.parse_file("[download]\nindex-url = https://x\n[global]\nretries = 1\n", "f")
    assert pip_settings.merged([layer], {}) == {"retries": Setting("1", "f [global] retries")}


def test_uv_index_name_is_not_taken_from_a_query():
    found = uv_settings.parse_variables({"UV_INDEX": "https://h/s?a=b"})
    assert found.indexes == (Setting("https://h/s?a=b", "UV_INDEX"),)
