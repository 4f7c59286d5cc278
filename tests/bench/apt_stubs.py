"""Signed apt repositories of empty packages with the names and relations of the real ones, and systems that use them.

    mirror = Mirror(folder)                      keys of its own, one for each publisher
    publish(mirror, "ubuntu 24.04")              Ubuntu's archive, NVIDIA's repository, the container toolkit's
    box = apt_box(folder, mirror, "ubuntu 24.04")
    with box: box.run("apt-get", "update")

The packages are those of driver_packages.yaml, where it is said what of them is real. A repository stands under
mirror.folder/<host>/<path>, as its address says; signatures are made by gpg and checked by apt.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from tests.bench.throwaway import Throwaway

DATA: Final = Path(__file__).with_name("driver_packages.yaml")
CUDA_HOST: Final = "developer.download.nvidia.com"
TOOLKIT_HOST: Final = "nvidia.github.io"
PINNED: Final = (
    "Package: *nvidia* cuda-drivers* libcuda1 firmware-nvidia-gsp\nPin: version {pin}*\nPin-Priority: 1000\n"
)


@dataclass(frozen=True, slots=True)
class Stub:
    """One empty package."""

    fields: tuple[tuple[str, str], ...]
    """Those of a control file, Package and Version among them."""
    component: str = "main"
    files: tuple[tuple[str, str], ...] = ()
    """Paths without the leading slash, and their texts."""

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]

    @property
    def file_name(self) -> str:
        return f"{self['Package']}_{self['Version'].replace(':', '%3a')}_{self['Architecture']}.deb"

    def control(self) -> str:
        return "".join(f"{name}: {value}\n" for name, value in self.fields)


@functools.cache
def data() -> dict[str, Any]:
    """driver_packages.yaml."""
    loaded: dict[str, Any] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return loaded


def stubs_of(text: str, component: str = "main", **words: str) -> list[Stub]:
    """The packages of one template."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        pairs = [line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith("#")]
        fields = {name: value.format(**words) for name, value in pairs}
        fields = {
            "Package": fields.pop("Package"),
            "Version": fields.pop("Version", words.get("version", "1")),
            **fields,
        }
        found.append(_stub(fields, component))
    return found


def _stub(fields: dict[str, str], component: str) -> Stub:
    whole = {
        **fields,
        "Architecture": "amd64",
        "Maintainer": "test bench <bench@localhost>",
        "Description": "empty package of a test bench",
    }
    files = []
    if fields["Package"].startswith("nvidia-driver-pinning-"):
        pin = fields["Package"].removeprefix("nvidia-driver-pinning-")
        files.append(
            (f"etc/apt/preferences.d/{fields['Package']}", PINNED.format(pin=pin + ("." if pin.isdigit() else "")))
        )
    if fields["Package"] == "nvidia-container-toolkit-base":
        files.append(("usr/bin/nvidia-ctk", '#!/bin/sh\necho "$@" >> /var/log/nvidia-ctk\n'))
    # Under /usr: dpkg takes a link such as /lib away with the last package that has it in its list.
    # Ubuntu builds the module into a package; for DKMS the package stands for what is built when it is installed.
    if match := re.match(r"linux-objects-nvidia-.*?-(\d+\.\d+\.\d+-\d+-\w+)$", fields["Package"]):
        files.append((f"usr/lib/modules/{match[1]}/kernel/{fields['Package']}/nvidia.ko", fields["Version"]))
    elif re.match(r"nvidia-(?:open-)?(?:kernel-)?(?:open-)?dkms", fields["Package"]):
        files.append((f"usr/lib/modules/built/updates/dkms/{fields['Package']}/nvidia.ko", fields["Version"]))
    return Stub(tuple(whole.items()), component, tuple(files))


# --- what each archive holds --------------------------------------------------------------------


Age = Literal["old", "new"]
"""old: the first release of every branch and the first kernel; new: what an upgrade finds later, beside the old."""


def _until(found: list[str], age: Age) -> list[str]:
    return found[:1] if age == "old" else found


def ubuntu_archive(release: str, age: Age = "new") -> list[Stub]:
    """Ubuntu's own archive; modules are built for each kernel with the driver of its time."""
    known, row = data(), data()["ubuntu"][release]
    templates = known["templates"]
    found = stubs_of(known["base"]["ubuntu"]) + (stubs_of(known["around"]["ubuntu"]) if age == "new" else [])
    found += [one for one in stubs_of(known["around"]["ubuntu"]) if one["Package"] != "openssh-server"]
    for flavour, releases in known["releases"].items():
        for number in _until(releases, age):
            words = {"flavour": flavour, "release": number, "version": f"{number}-{row['suffix']}"}
            found += stubs_of(templates["ubuntu-driver"], "restricted", **words)
            if flavour.endswith("-server"):
                words["branch"] = flavour.removesuffix("-server")
                found += stubs_of(templates["ubuntu-fabric"], "restricted", **words)
    for kernel_flavour, kernels in row["lines"].items():
        for number, abi in enumerate(_until(list(kernels), age)):
            kernel = {"abi": abi, "kernel": kernels[abi], "kernel_flavour": kernel_flavour}
            found += stubs_of(templates["ubuntu-kernel"], **kernel)
            for flavour, releases in known["releases"].items():
                built = releases[min(number, len(releases) - 1)]
                words = {"flavour": flavour, "release": built, "version": f"{built}-{row['suffix']}"}
                for open_ in ("", "-open"):
                    found += stubs_of(templates["ubuntu-modules"], "restricted", open=open_, **words, **kernel)
    return list(dict.fromkeys(found))


def debian_archive(release: str, age: Age = "new") -> list[Stub]:
    """Debian's own archive; its driver has one release, and later a repaired one (+1)."""
    known, row = data(), data()["debian_kernels"][release]
    found = stubs_of(known["base"]["debian"]) + (stubs_of(known["around"]["debian"]) if age == "new" else [])
    found += [one for one in stubs_of(known["around"]["debian"]) if one["Package"] != "openssh-server"]
    names = (f"linux-headers-{row['kernel']}", f"linux-image-{row['kernel']}")
    found += [_stub({"Package": name, "Version": row["version"]}, "main") for name in names]
    depends = {"Depends": f"linux-headers-{row['kernel']}"}
    found.append(_stub({"Package": "linux-headers-amd64", "Version": row["version"], **depends}, "main"))
    for entry in known["debian"][release]:
        fields = {key: value for key, value in entry.items() if key not in ("package", "version", "component")}
        versions = [entry["version"]] if age == "old" else [entry["version"], f"{entry['version']}+1"]
        for version in versions:
            moved = {key: value.replace(f"= {entry['version']})", f"= {version})") for key, value in fields.items()}
            found.append(_stub({"Package": entry["package"], "Version": version, **moved}, entry["component"]))
    return list(dict.fromkeys(found))


def nvidia_repository(distribution: str, age: Age = "new") -> list[Stub]:
    """NVIDIA's repository for one release."""
    known, templates = data(), data()["templates"]
    is_ubuntu = distribution.startswith("ubuntu")
    found = stubs_of(templates["nvidia-around"]) + toolkit_repository(age)
    found += [
        _stub({"Package": f"cuda-toolkit-{one}", "Version": f"{one.replace('-', '.')}.0-1"}, "main")
        for one in known["cuda_toolkits"]
    ]
    older: set[int] = set()
    for number in known["nvidia_releases"]:
        branch = int(number.split(".")[0])
        if age == "old" and branch in older:
            continue
        older.add(branch)
        words = {"branch": str(branch), "flavour": str(branch), "release": number, "version": f"{number}-1"}
        if is_ubuntu and branch <= 580:
            found += stubs_of(templates["ubuntu-driver"], **words) + stubs_of(templates["nvidia-branch"], **words)
        elif is_ubuntu:
            found += stubs_of(templates["nvidia-one-name"], **words)
        else:
            found += stubs_of(templates["nvidia-debian"], **words)
        if branch > 580 and is_ubuntu and branch <= 610:
            found += stubs_of(templates["nvidia-one-name-proprietary"], **words)
        if not is_ubuntu and branch <= 610:
            found += stubs_of(templates["nvidia-debian-proprietary"], **words)
        found += stubs_of(templates["nvidia-branch-fabric" if branch <= 575 else "nvidia-fabric"], **words)
        if branch >= 570:
            found += stubs_of(templates["nvidia-pinning"], **words)
    return list({(one["Package"], one["Version"]): one for one in found}.values())


def toolkit_repository(age: Age = "new") -> list[Stub]:
    """The container toolkit's repository."""
    template = data()["templates"]["container-toolkit"]
    return [one for version in _until(data()["container_toolkit"], age) for one in stubs_of(template, version=version)]


@functools.cache
def known_names(distribution: str) -> frozenset[str]:
    """Every name that an archive of this distribution has."""
    own = ubuntu_archive if distribution.startswith("ubuntu") else debian_archive
    every = own(distribution.split()[1]) + nvidia_repository(distribution) + toolkit_repository()
    return frozenset(one["Package"] for one in every)


# --- publishing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key that is worth nothing."""

    home: Path
    fingerprint: str
    armored: bytes
    binary: bytes


@dataclass(frozen=True, slots=True)
class Mirror:
    """Repositories by host and path, and the keys of their publishers."""

    folder: Path
    keys: dict[str, Key] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)

    def key(self, publisher: str) -> Key:
        """Made when it is first asked for."""
        if publisher not in self.keys:
            self.keys[publisher] = _make_key(self.folder.parent / f"gpg-{publisher}", publisher)
        return self.keys[publisher]

    def put(self, address: str, content: bytes) -> Path:
        """Puts a file where its address (host/path) says."""
        path = self.folder / address.removeprefix("https://").removeprefix("http://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # in a copy it is a link to what others use, too
        path.write_bytes(content)
        return path

    def copy(self, folder: Path) -> Mirror:
        """One that may change by itself; what does not change stands on the disk once."""
        shutil.copytree(self.folder, folder / "mirror", copy_function=os.link)
        return Mirror(folder / "mirror", dict(self.keys), list(self.published))


def _make_key(home: Path, publisher: str) -> Key:
    home.mkdir(parents=True, mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    user = f"{publisher} of a test bench <{publisher}@localhost>"
    subprocess.run([*gpg, "--quick-generate-key", user, "rsa2048", "sign", "never"], check=True, capture_output=True)
    listing = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
    armored, binary = (
        subprocess.run([*gpg, *how, "--export", fingerprint], check=True, capture_output=True).stdout
        for how in (["--armor"], [])
    )
    return Key(home, fingerprint, armored, binary)


def sign(key: Key, content: bytes, *how: str) -> bytes:
    """Signed by that key: `--clear-sign`, or `--detach-sign --armor`."""
    command = ["gpg", "--homedir", str(key.home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *how]
    return subprocess.run(command, input=content, check=True, capture_output=True).stdout


def deb(stub: Stub) -> bytes:
    """The package file: same bytes for the same stub."""
    files = stub.files or ((f"usr/share/doc/{stub['Package']}/stub", f"{stub['Package']}\n"),)
    control = [("./control", stub.control().encode(), 0o644)]
    conffiles = "".join(f"/{path}\n" for path, _ in files if path.startswith("etc/"))
    if conffiles:
        control.append(("./conffiles", conffiles.encode(), 0o644))
    content = [(f"./{path}", text.encode(), 0o755 if path.startswith("usr/bin/") else 0o644) for path, text in files]
    members = (("debian-binary", b"2.0\n"), ("control.tar.gz", _tar(control)), ("data.tar.gz", _tar(content)))
    return b"!<arch>\n" + b"".join(
        f"{name:<16}0           0     0     100644  {len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        for name, body in members
    )


def _tar(files: list[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        made = {"."}
        for path, content, mode in files:
            for parent in reversed(Path(path).parents):
                name = f"./{parent}" if str(parent) != "." else "."
                if name not in made:
                    made.add(name)
                    directory = tarfile.TarInfo(name)
                    directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(directory)
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def _paragraph(stub: Stub, body: bytes, file_name: str) -> str:
    sums = f"Size: {len(body)}\nSHA256: {hashlib.sha256(body).hexdigest()}\n"
    return f"{stub.control()}Filename: {file_name}\n{sums}"


def publish_suite(mirror: Mirror, address: str, suite: str, key: Key, stubs: list[Stub], release: str) -> None:
    """An archive with suites and components, as distributions have them."""
    lists: dict[str, list[str]] = {}
    for stub in stubs:
        body = deb(stub)
        file_name = f"pool/{stub.component}/{stub.file_name}"
        mirror.put(f"{address}/{file_name}", body)
        lists.setdefault(stub.component, []).append(_paragraph(stub, body, file_name))
    files = {f"{name}/binary-amd64/Packages": "\n".join(found).encode() for name, found in lists.items()}
    _release(
        mirror, f"{address}/dists/{suite}", key, files, f"{release}Suite: {suite}\nCodename: {suite}\n", list(lists)
    )


def publish_flat(mirror: Mirror, address: str, key: Key, stubs: list[Stub], release: str) -> None:
    """A repository without suites, as NVIDIA has them."""
    paragraphs = []
    for stub in stubs:
        body = deb(stub)
        mirror.put(f"{address}/{stub.file_name}", body)
        paragraphs.append(_paragraph(stub, body, f"./{stub.file_name}"))
    _release(mirror, address, key, {"Packages": "\n".join(paragraphs).encode()}, release)


def _release(
    mirror: Mirror, address: str, key: Key, files: dict[str, bytes], head: str, components: list[str] | None = None
) -> None:
    files = {**files, **{f"{name}.xz": lzma.compress(body, preset=1) for name, body in files.items()}}
    sums = "".join(f" {hashlib.sha256(body).hexdigest()} {len(body)} {name}\n" for name, body in files.items())
    parts = f"Components: {' '.join(components)}\n" if components else ""
    mirror.published.append(address)
    day = 1 + mirror.published.count(address)
    text = f"{head}Date: Mon, {day:02} Nov 2026 00:00:00 UTC\nArchitectures: amd64\n{parts}SHA256:\n{sums}".encode()
    for name, body in files.items():
        mirror.put(f"{address}/{name}", body)
    mirror.put(f"{address}/Release", text)
    mirror.put(f"{address}/InRelease", sign(key, text, "--clear-sign"))
    mirror.put(f"{address}/Release.gpg", sign(key, text, "--detach-sign", "--armor"))


def publish(mirror: Mirror, distribution: str, age: Age = "new") -> None:
    """The archives of one release: its own, NVIDIA's, the container toolkit's; published again, they have grown."""
    name, release = distribution.split()
    if name == "ubuntu":
        suite, stubs, host = (
            data()["ubuntu"][release]["suite"],
            ubuntu_archive(release, age),
            "ubuntu.test/ubuntu",
        )
    else:
        suite, stubs, host = (
            data()["debian_kernels"][release]["suite"],
            debian_archive(release, age),
            "debian.test/debian",
        )
    publish_suite(mirror, host, suite, mirror.key(name), stubs, f"Origin: {name.capitalize()}\nLabel: {name}\n")
    words = f"{name}{release.replace('.', '')}"
    address = f"{CUDA_HOST}/compute/cuda/repos/{words}/x86_64"
    publish_flat(
        mirror,
        address,
        mirror.key("nvidia"),
        nvidia_repository(distribution, age),
        "Origin: NVIDIA\nLabel: NVIDIA CUDA\n",
    )
    toolkit = f"{TOOLKIT_HOST}/libnvidia-container"
    publish_flat(
        mirror, f"{toolkit}/stable/deb/amd64", mirror.key("toolkit"), toolkit_repository(age), "Origin: nvidia\n"
    )
    mirror.put(f"{toolkit}/gpgkey", mirror.key("toolkit").armored)


# --- a system -----------------------------------------------------------------------------------


UNAME: Final = '#!/bin/sh\ncase "$*" in -r) echo {kernel};; *) exec /bin/uname "$@";; esac\n'
_LOGGED: Final = '#!/bin/sh\necho "$(basename "$0") $*" >> /var/log/pretended\n'
_SYSTEMCTL: Final = (
    _LOGGED
    + """unit="/var/log/unit-$2"
case $1 in
  enable) touch "$unit" ;;
  disable) rm -f "$unit" ;;
  is-enabled) [ -e "$unit" ] ;;
esac
"""
)


def pretend(box: Throwaway) -> None:
    """Programs that would reach the real machine only write down how they were called; a GPU is on the PCI bus."""
    for name in ("update-initramfs", "dracut", "modprobe", "reboot", "udevadm", "shutdown", "mokutil"):
        box.write(f"usr/local/sbin/{name}", _LOGGED, mode=0o755)
    box.write("usr/local/sbin/systemctl", _SYSTEMCTL, mode=0o755)
    box.write(
        "usr/local/sbin/lspci", "#!/bin/sh\necho '17:00.0 3D controller: NVIDIA Corporation [10de:2330]'\n", mode=0o755
    )


def kernel_of(distribution: str) -> str:
    """What `uname -r` says there."""
    name, release = distribution.split()
    if name == "debian":
        return str(data()["debian_kernels"][release]["kernel"])
    row = data()["ubuntu"][release]
    return f"{next(iter(next(iter(row['lines'].values()))))}-generic"


def base_names(distribution: str) -> list[str]:
    """The packages that are installed on it from the start."""
    name, release = distribution.split()
    names = [one["Package"] for one in stubs_of(data()["base"][name])]
    if name == "debian":
        return [*names, f"linux-image-{data()['debian_kernels'][release]['kernel']}"]
    row = data()["ubuntu"][release]
    return [*names, f"linux-image-{kernel_of(distribution)}", f"linux-image-{next(iter(row['lines']))}"]


def apt_box(folder: Path, mirror: Mirror, distribution: str) -> Throwaway:
    """A system of that release with its base packages, its archive configured, and nothing of NVIDIA's."""
    name, release = distribution.split()
    box = Throwaway(folder, mirror.folder)
    for part in ("preferences.d", "apt.conf.d", "sources.list.d", "trusted.gpg.d", "auth.conf.d", "keyrings"):
        box.path(f"etc/apt/{part}").mkdir(parents=True, exist_ok=True)
    for part in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg/info", "var/log/apt"):
        box.path(part).mkdir(parents=True, exist_ok=True)
    for part in ("updates", "triggers"):
        box.path(f"var/lib/dpkg/{part}").mkdir(parents=True, exist_ok=True)
    # The programs of this machine run as root in a namespace where the user _apt may not be known.
    box.write("etc/apt/apt.conf.d/90bench", 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
    box.write("etc/dpkg/dpkg.cfg.d/bench", "force-unsafe-io\n")
    own = data()["ubuntu" if name == "ubuntu" else "debian_kernels"][release]
    keyring = f"/usr/share/keyrings/{name}-archive-keyring.gpg"
    box.write(keyring, mirror.key(name).binary)
    address, components = (
        ("http://ubuntu.test/ubuntu", "main restricted")
        if name == "ubuntu"
        else ("http://debian.test/debian", "main non-free-firmware" if int(release) >= 12 else "main")
    )
    sources = f"Types: deb\nURIs: {address}\nSuites: {own['suite']}\nComponents: {components}\nSigned-By: {keyring}\n"
    box.write(f"etc/apt/sources.list.d/{name}.sources", sources)
    box.write("etc/os-release", f'ID={name}\nVERSION_ID="{release}"\n')
    status = []
    first = {one["Package"]: one for one in stubs_of(data()["base"][name])}
    every = {
        one["Package"]: one
        for one in (ubuntu_archive(release, "old") if name == "ubuntu" else debian_archive(release, "old"))
    }
    for package in base_names(distribution):
        stub = first.get(package, every[package])
        status.append(stub.control().replace("\nVersion", "\nStatus: install ok installed\nVersion", 1))
        box.write(f"var/lib/dpkg/info/{package}.list", "/.\n")
    box.write("var/lib/dpkg/status", "\n".join(status))
    box.write("usr/local/sbin/uname", UNAME.format(kernel=kernel_of(distribution)), mode=0o755)
    pretend(box)
    return box


def installed(box: Throwaway) -> dict[str, str]:
    """Name and version of every package that is installed."""
    listing = box.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n").ok()
    rows = [line.split() for line in listing.splitlines()]
    return {row[1]: row[2] for row in rows if row[0] == "installed"}


def missing_programs() -> str | None:
    """Why the bench can't run here; None where it can."""
    missing = [name for name in ("apt-get", "dpkg", "gpg") if shutil.which(name) is None]
    return f"no {', '.join(missing)} here" if missing else None
