"""Fingerprints of keys, words for package managers, and what their rehearsals say."""

import contextlib
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drivers.keys import KeyFormatError, binary_key, fingerprint_of, shown_fingerprints
from provision.drivers.managers import (
    ENVIRONMENT,
    MAY_END,
    argv_of,
    is_good,
    mending_of,
    rehearsal_of,
    removed_packages,
    unwanted_removals,
)
from provision.drivers.steps import Packages, Step
from provision.drivers.words import PACKAGE_COMMANDS

#: One packet: old format, tag 6, two bytes of length, version 4, a time, an algorithm.
PACKET = b"\x99\x00\x06\x04\x00\x00\x00\x00\x01"


@pytest.fixture(scope="module")
def real_keys(tmp_path_factory):
    """Two keys as gpg makes them: (fingerprint, binary, armoured) each."""
    if shutil.which("gpg") is None:
        pytest.skip("there is no gpg")
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)

    def gpg(*words):
        argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", *words]
        return subprocess.run(argv, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout

    keys = []
    for name in ("one@example.org", "two@example.org"):
        gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        listed = gpg("--with-colons", "--list-keys", name).decode()
        told = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        gpg("--passphrase", "", "--quick-add-key", told, "cv25519", "encr", "never")
        keys.append((told, gpg("--export", name), gpg("--armor", "--export", name)))
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    return keys


def test_the_fingerprint_is_the_one_that_gpg_tells(real_keys):
    for told, binary, armoured in real_keys:
        assert fingerprint_of(binary) == told
        assert fingerprint_of(armoured) == told
        assert binary_key(armoured) == binary
        assert binary_key(armoured.replace(b"\n", b"\r\n")) == binary


def test_two_keys_in_one_file_are_refused(real_keys):
    (_, first, _), (_, second, armoured) = real_keys
    with pytest.raises(KeyFormatError, match="2 primary keys"):
        fingerprint_of(first + second)
    with pytest.raises(KeyFormatError, match="2 public key blocks"):
        fingerprint_of(armoured + armoured)


def test_gpg_gives_a_second_opinion(real_keys, machine, monkeypatch):
    (machine.programs / "gpg").symlink_to(shutil.which("gpg"))
    told, binary, armoured = real_keys[0]
    assert machine.hand().second_opinion(binary) == (told,)
    assert machine.hand().second_opinion(armoured) == (told,)
    assert machine.hand().second_opinion(b"nothing") is None


def test_a_key_becomes_a_keyring_and_stays_as_published_elsewhere(real_keys, machine):
    from provision.drivers.actions import checked_key
    from provision.drivers.steps import FetchKey

    told, binary, armoured = real_keys[0]
    machine.keys["https://example.org/key"] = armoured
    for path, content in (("/usr/share/keyrings/x.gpg", binary), ("/etc/pki/rpm-gpg/X", armoured)):
        assert checked_key(machine.hand(), FetchKey("https://example.org/key", path, told)) == content


def test_new_and_old_packet_lengths():
    body = PACKET[3:]
    old = fingerprint_of(PACKET)
    assert fingerprint_of(b"\x98\x06" + body) == old
    assert fingerprint_of(b"\x9a\x00\x00\x00\x06" + body) == old
    assert fingerprint_of(b"\xc6\x06" + body) == old
    assert fingerprint_of(b"\xc6\xff\x00\x00\x00\x06" + body) == old
    assert len(old) == 40


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no public key blocks"),
        (b"<html>login</html>", "no public key blocks"),
        (PACKET[:5], "cut off"),
        (PACKET + PACKET, "2 primary keys"),
        (b"\x99\x00\x06\x06\x00\x00\x00\x00\x01", "version 6"),
        (b"\x9b\x04", "does not state its length"),
        (b"\xc6\xe1\x04\x04", "in parts"),
        (b"\xcb\x01\x00" + PACKET, "type 11"),
        (b"\x88\x00" + PACKET, "does not begin with a primary key"),
        (b"\x99\x00\x00", "version none"),
        (b"\x9a\x00\x01\x00\x00" + b"\x04" * 65536, "too long for a fingerprint"),
        (b"\x80" * (1024 * 1024 + 1), "larger than"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----", "not base64"),
    ],
)
def test_what_is_no_key_is_refused(raw, said):
    with pytest.raises(KeyFormatError, match=said):
        fingerprint_of(raw)


@given(st.binary(max_size=300))
def test_garbage_is_a_key_or_refused(raw):
    with contextlib.suppress(KeyFormatError):
        assert len(fingerprint_of(raw)) == 40


def test_subkeys_are_not_primary_keys():
    shown = "pub:-:\nfpr:::::::::aa:\nuid:-:\nsub:-:\nfpr:::::::::BB:\npub:-:\nfpr:::::::::CC:\nfpr:x\n"
    assert shown_fingerprints(shown) == ("AA", "CC")


# --- package managers


@pytest.mark.parametrize("manager", PACKAGE_COMMANDS)
def test_no_request_switches_a_signature_check_off_or_asks(manager):
    for verb in PACKAGE_COMMANDS[manager]:
        text = " ".join(argv_of(Packages(manager, verb, ("x",))))
        for word in ("gpg", "unauthenticated", "insecure", "allow-downgrades", "force-yes", "nodeps"):
            assert word not in text
        # Only what is fetched and not installed may exclude what is there.
        assert "allowerasing" not in text or "--downloadonly" in text
        assert "force-resolution" not in text or "--download-only" in text
        assert text.endswith(" x")
        assert argv_of(Packages(manager, verb))[0] not in MAY_END
    assert ENVIRONMENT["DEBIAN_FRONTEND"] == "noninteractive"


def test_a_rehearsal_is_never_the_real_thing():
    for manager, mark in (("apt", "-s"), ("dnf", "--assumeno"), ("zypper", "--dry-run")):
        for verb in ("install", "remove"):
            argv = rehearsal_of(Packages(manager, verb, ("x",)))
            assert mark in argv
            assert not {"-y", "--yes"} & set(argv)
        for verb in ("refresh", "hold", "unhold"):
            assert rehearsal_of(Packages(manager, verb)) is None


APT = """\
Reading package lists...
The following packages will be REMOVED:
  libnvidia-compute-535
Remv nvidia-driver-535 [535.183.01-0ubuntu0.22.04.1] []
Remv libnvidia-gl-535:i386 [535.183.01]
Purg nvidia-prime [0.8.17]
Inst nvidia-driver-580 (580.95.05 Ubuntu:24.04)
"""
DNF = """\
Dependencies resolved.
================================================================================
 Package              Arch        Version            Repository           Size
================================================================================
Installing:
 nvidia-open          x86_64      3:580.95.05-1      cuda                 9.0 k
Removing:
 httpd                x86_64      2.4.62-1.el9       @appstream          4.9 M
Removing dependent packages:
 a-package-with-a-name-that-takes-the-whole-line
                      x86_64      1:2.4.62-1.el9     @appstream          256 k
Removing unused dependencies:
 apr                  x86_64      1.7.0-12.el9       @appstream          290 k

Transaction Summary
================================================================================
Remove  3 Packages
"""
ZYPPER = """\
<?xml version='1.0'?>
<stream>
<install-summary download-size="0" packages-to-change="2">
<to-install>
<solvable type="package" name="nvidia-open" edition="1" arch="x86_64"/>
</to-install>
<to-remove>
<solvable type="package" name="git" edition="2.51.0" arch="x86_64" summary="name=&quot;x&quot;">
<description>text</description></solvable>
<solvable type="package" name="kernel-default" edition="6.4" arch="x86_64"/>
</to-remove>
</install-summary>
</stream>
"""


@pytest.mark.parametrize(
    ("manager", "text", "names"),
    [
        ("apt", APT, ("nvidia-driver-535", "libnvidia-gl-535", "nvidia-prime")),
        ("dnf", DNF, ("httpd", "a-package-with-a-name-that-takes-the-whole-line", "apr")),
        ("zypper", ZYPPER, ("git", "kernel-default")),
        ("apt", "", ()),
        ("dnf", "Nothing to do.\n", ()),
        ("zypper", "<stream/>", ()),
    ],
)
def test_what_a_rehearsal_would_remove(manager, text, names):
    assert removed_packages(manager, text) == names


def test_what_the_step_names_is_wanted():
    action = Packages("apt", "install", ("new=1.0", "other"))
    step = Step("x", "y", (Packages("apt", "remove", ("old-*",)), action))
    assert unwanted_removals(step, action, ("old-one", "new", "kernel")) == ("kernel",)


@pytest.mark.parametrize(
    ("manager", "words"),
    [
        ("apt", ["new", "old-"]),
        ("dnf", ["--allowerasing", "new"]),
        ("zypper", ["new", "!old"]),
    ],
)
def test_what_goes_in_the_same_transaction_is_said_in_the_words_of_each_manager(manager, words):
    for verb in ("fetch", "install"):
        exchange = Packages(manager, verb, ("new",), without=("old", "lib*"))
        assert list(argv_of(exchange)[-2:]) == words, "a pattern only says what may go"
    assert list(rehearsal_of(exchange)[-2:]) == words
    assert rehearsal_of(Packages(manager, "fetch", ("new",), without=("old",))) is None
    removed = ("old", "libnew", "bash")
    assert unwanted_removals(Step("x", "y", (exchange,)), exchange, removed) == ("bash",)


def test_zypper_has_statuses_that_are_no_failure():
    statuses = (0, 1, 4, 8, 102, 103, 104, 106, 107, None, -9)
    assert [status for status in statuses if is_good("zypper", status)] == [0, 102, 103]
    assert [status for status in statuses if is_good("apt-get", status)] == [0]


def test_only_dpkg_has_to_be_mended_first():
    assert mending_of("apt")[0] == "dpkg"
    assert mending_of("dnf") is None
    assert mending_of("zypper") is None


def test_a_version_behind_the_name_of_an_rpm_is_the_package():
    headers = Packages("dnf", "install", ("kernel-devel-5.14.0-611.11.1.el9_7.x86_64", "kernel-headers"))
    undo = Packages("dnf", "remove", headers.names)
    step = Step("kernel-headers", "why", (headers,), (undo,))
    assert unwanted_removals(step, undo, ("kernel-devel", "kernel-headers")) == ()
    assert unwanted_removals(step, undo, ("kernel", "kernel-devel-matched")) == ("kernel", "kernel-devel-matched")
