"""Signed rpm repositories of empty packages with the names and relations of the real ones, and systems that use them.

    mirror = Mirror(folder)
    publish(mirror, "rhel 9")
    with rpm_box(folder, mirror, "rhel 9") as box: box.run("dnf", "-y", "makecache")

dnf, zypper and rpm are those of this machine, whatever they are (Debian has all three): what is shown is what this dnf
makes of the commands, not that of the distribution. The packages are those of rpm_packages.yaml.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from tests.bench import apt_stubs
from tests.bench.apt_stubs import CUDA_HOST, TOOLKIT_HOST, UNAME, Age, Mirror, pretend, sign
from tests.bench.throwaway import Throwaway

if TYPE_CHECKING:
    from tests.bench.apt_stubs import Key

DATA: Final = Path(__file__).with_name("rpm_packages.yaml")
UNPACKED: Final = Path(__file__).parents[2] / "build/zypper"
BASE_HOST: Final = "distribution.example"

Stub = dict[str, str]
"""Tags of one empty package: Name, Version, Release, Epoch, Requires, Provides, Conflicts."""


@functools.cache
def data() -> dict[str, Any]:
    """rpm_packages.yaml."""
    loaded: dict[str, Any] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return loaded


def stubs_of(template: str, **words: str) -> list[Stub]:
    """The packages of one template."""
    found = []
    for paragraph in re.split(r"\n\s*\n", data()["templates"][template].strip()):
        pairs = [line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith("#")]
        tags = {name: value.format(**words) for name, value in pairs}
        found.append({"Version": words.get("release", "1"), "Release": "1", **tags})
    return found


def _words(distribution: str) -> dict[str, str]:
    kernel = data()["distributions"][distribution]["kernel"]
    version, release = kernel.rsplit("-", 1) if kernel.count("-") == 1 else kernel.split("-", 1)
    word = f"{version}_{release.replace('-', '_')}"
    release = release.replace("-", ".")
    return {
        "os_version": distribution.split()[1],
        "kernel": kernel,
        "kernel_version": version,
        "kernel_release": release,
        "kernel_word": word,
    }


def kernel_of(distribution: str) -> str:
    """What `uname -r` says there."""
    row = data()["distributions"][distribution]
    return f"{row['kernel']}-default" if row["manager"] == "zypper" else f"{row['kernel']}.x86_64"


def base_packages(distribution: str) -> list[Stub]:
    """The packages that are installed on it from the start."""
    return stubs_of(f"base-{data()['distributions'][distribution]['manager']}", **_words(distribution))


def own_repository(distribution: str, age: Age = "new") -> list[Stub]:
    """The distribution's own repository."""
    around = stubs_of(f"around-{data()['distributions'][distribution]['manager']}", **_words(distribution))
    return [
        *base_packages(distribution),
        *(one for one in around if age == "new" or one["Name"] != "openssh-server"),
    ]


def nvidia_repository(distribution: str, age: Age = "new") -> list[Stub]:
    """NVIDIA's repository; later it has the second release of a branch, too."""
    row, found = data()["distributions"][distribution], stubs_of("around-nvidia") + toolkit_repository(age)
    for one in apt_stubs.data()["cuda_toolkits"]:
        found.append({"Name": f"cuda-toolkit-{one}", "Version": f"{one.replace('-', '.')}.0", "Release": "1"})
    seen: set[int] = set()
    for release in data()["releases"]:
        branch = int(release.split(".")[0])
        if age == "old" and branch in seen:
            continue
        seen.add(branch)
        words = {**_words(distribution), "release": release, "generation": "G06" if branch <= 580 else "G07"}
        if row["manager"] == "zypper":
            templates = ["suse", *(["suse-proprietary"] if branch <= 580 else []), "fabric"]
        else:
            templates = ["driver", "driver-open", "fabric-old" if branch <= 575 else "fabric"]
            templates += ["driver-proprietary"] if branch <= 610 else []
        for template in templates:
            found += [{"Epoch": "3", **stub} for stub in stubs_of(template, **words)]
    return found


def toolkit_repository(age: Age = "new") -> list[Stub]:
    """The container toolkit's repository."""
    versions = data()["container_toolkit"][: 1 if age == "old" else None]
    return [stub for version in versions for stub in stubs_of("toolkit", release=version)]


@functools.cache
def known_names(distribution: str) -> frozenset[str]:
    """Every name that a repository of this distribution has."""
    every = own_repository(distribution) + nvidia_repository(distribution) + toolkit_repository()
    provided = {name for one in every for name in re.findall(r"[^\s,]+", one.get("Provides", ""))}
    return frozenset(provided | {one["Name"] for one in every})


def streams(distribution: str, age: Age) -> str:
    """modules.yaml of NVIDIA's repository: streams of each branch and kernel module, and those of the newest."""
    releases: dict[str, list[str]] = {}
    for release in data()["releases"]:
        releases.setdefault(release.split(".")[0], []).append(release)
    documents = []
    newest = list(releases)[-1]
    for branch, found in [*releases.items(), ("", releases[newest])]:
        for suffix, template in (("open", "driver-open"), ("dkms", "driver-proprietary")):
            if suffix == "dkms" and int(branch or newest) > 610:
                continue
            name = f"{branch}-{suffix}" if branch else {"open": "open-dkms", "dkms": "latest-dkms"}[suffix]
            # A stream holds one release of its branch, the newest.
            release = found[0] if age == "old" else found[-1]
            stubs = stubs_of("driver", release=release) + stubs_of(template, release=release)
            meta = {
                "name": "nvidia-driver",
                "stream": name,
                "version": 20261101000000 if age == "old" else 20261120000000,
                "context": f"{len(documents):08x}",
                "arch": "x86_64",
                "summary": f"driver of {name}",
                "description": f"driver of {name}",
                "license": {"module": ["MIT"]},
                "profiles": {
                    "default": {
                        "rpms": [
                            template.replace("driver-open", "nvidia-open").replace("driver-proprietary", "cuda-drivers")
                        ]
                    }
                },
                "artifacts": {"rpms": [f"{one['Name']}-3:{release}-1.x86_64" for one in stubs]},
            }
            documents.append({"document": "modulemd", "version": 2, "data": meta})
    defaults = {"module": "nvidia-driver", "profiles": {}}
    documents.append({"document": "modulemd-defaults", "version": 1, "data": defaults})
    return yaml.safe_dump_all(documents, explicit_start=True, sort_keys=False)


# --- publishing ---------------------------------------------------------------------------------


def build(stubs: list[Stub], folder: Path, key: Key) -> list[Path]:
    """The packages, signed. rpmbuild makes many at once, as parts of one, when their names differ."""
    rounds: list[dict[str, Stub]] = []
    for stub in stubs:
        free = next((one for one in rounds if stub["Name"] not in one), None)
        if free is None:
            free = {}
            rounds.append(free)
        free[stub["Name"]] = stub
    made: list[Path] = []
    for number, parts in enumerate(rounds):
        where = folder / str(number)
        where.mkdir(parents=True)
        (where / "stubs.spec").write_text(_spec(list(parts.values())), encoding="utf-8")
        macros = {"_topdir": where, "_rpmdir": where / "out", "_build_id_links": "none", "debug_package": "%{nil}"}
        defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
        command = [
            "rpmbuild",
            "-bb",
            "--quiet",
            "--target",
            "x86_64",
            *defines,
            "--dbpath",
            where / "db",
            where / "stubs.spec",
        ]
        subprocess.run(command, check=True, capture_output=True)
        made += sorted((where / "out").rglob("*.rpm"))
    gpg = {
        "__gpg": shutil.which("gpg"),
        "_gpg_name": key.fingerprint,
        "_gpg_path": key.home,
    }  # Debian's rpm expects gpg2
    signing = [word for name, value in gpg.items() for word in ("--define", f"{name} {value}")]
    environ = {**os.environ, "GNUPGHOME": str(key.home)}
    subprocess.run(["rpmsign", "--addsign", *signing, *made], check=True, capture_output=True, env=environ)
    return made


def _spec(stubs: list[Stub]) -> str:
    head = "Name: bench\nVersion: 1\nRelease: 1\nSummary: empty\nLicense: none\n%description\nempty\n"
    files = ""
    for stub in stubs:
        tags = "".join(f"{name}: {value}\n" for name, value in stub.items() if name != "Name")
        name = stub["Name"]
        head += f"\n%package -n {name}\n{tags}Summary: empty\n%description -n {name}\nempty\n%files -n {name}\n"
        if (
            "kmod-nvidia" in stub["Name"] or "kmp-default" in stub["Name"]
        ):  # stands for what DKMS builds, or is built in
            head += f"/lib/modules/built/{stub['Name']}\n"
            files += f"mkdir -p %{{buildroot}}/lib/modules/built/{stub['Name']}\n"
            files += f"touch %{{buildroot}}/lib/modules/built/{stub['Name']}/nvidia.ko\n"
    return f"{head}\n%install\n{files}"


def publish(mirror: Mirror, distribution: str, age: Age = "new") -> None:
    """The repositories of one release; published again, they have grown."""
    row = data()["distributions"][distribution]
    word = row["repository"]
    cuda = f"{CUDA_HOST}/compute/cuda/repos/{word}/x86_64"
    toolkit = f"{TOOLKIT_HOST}/libnvidia-container"
    _publish(mirror, f"{BASE_HOST}/{word}", mirror.key("distribution"), own_repository(distribution, age), None)
    modules = streams(distribution, age) if row["streams"] else None
    _publish(mirror, cuda, mirror.key("nvidia"), nvidia_repository(distribution, age), modules)
    _publish(mirror, f"{toolkit}/stable/rpm/x86_64", mirror.key("toolkit"), toolkit_repository(age), None)
    mirror.put(f"{toolkit}/gpgkey", mirror.key("toolkit").armored)


def _publish(mirror: Mirror, address: str, key: Key, stubs: list[Stub], modules: str | None) -> None:
    """Packages are built once: what was published before is taken again."""
    folder = mirror.folder / address
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.glob("*.rpm")}
    new = [one for one in stubs if f"{one['Name']}-{one['Version']}-{one['Release']}.x86_64.rpm" not in there]
    if new:
        work = mirror.folder.parent / "rpmbuild" / f"{address.replace('/', '_')}-{len(there)}"
        for path in build(new, work, key):
            shutil.move(path, folder / path.name)
    (folder / "modules.yaml").unlink(missing_ok=True)
    shutil.rmtree(folder / "repodata", ignore_errors=True)
    subprocess.run(["createrepo_c", "--quiet", "--no-database", folder], check=True, capture_output=True)
    if modules is not None:
        mirror.put(f"{address}/modules.yaml", modules.encode())
        command = ["modifyrepo_c", "--mdtype=modules", folder / "modules.yaml", folder / "repodata"]
        subprocess.run(command, check=True, capture_output=True)
    body = (folder / "repodata/repomd.xml").read_bytes()
    mirror.put(f"{address}/repodata/repomd.xml.asc", sign(key, body, "--detach-sign", "--armor"))
    mirror.put(f"{address}/repodata/repomd.xml.key", key.armored)


# --- a system -----------------------------------------------------------------------------------


def rpm_box(folder: Path, mirror: Mirror, distribution: str) -> Throwaway:
    """A system of that release with its base packages, its repository configured, and nothing of NVIDIA's."""
    row, word = data()["distributions"][distribution], data()["distributions"][distribution]["repository"]
    name, version = distribution.split()
    box = Throwaway(folder, mirror.folder)
    keyring = "/etc/pki/rpm-gpg/RPM-GPG-KEY-distribution"
    box.write(keyring, mirror.key("distribution").armored)
    config = (
        f"[distribution]\nname=distribution\nbaseurl=https://{BASE_HOST}/{word}/\n"
        f"enabled=1\ngpgcheck=1\ngpgkey=file://{keyring}\n"
    )
    box.write("etc/rpm/macros", "%_dbpath /var/lib/rpm\n")  # Debian's rpm has one of its own in the home folder
    box.write("etc/os-release", f'ID={name}\nVERSION_ID="{version}"\nPLATFORM_ID="platform:{row["platform"]}"\n')
    if row["manager"] == "dnf":
        box.write("etc/yum.repos.d/distribution.repo", config)
        main = (
            f"gpgcheck=1\nbest=True\nclean_requirements_on_remove=True\nmodule_platform_id=platform:{row['platform']}\n"
        )
        box.write("etc/dnf/dnf.conf", f"[main]\n{main}pluginconfpath=/etc/dnf/plugins\n")
        box.write("etc/dnf/plugins/versionlock.conf", "[main]\nenabled=1\nlocklist=/etc/dnf/plugins/versionlock.list\n")
        box.write("etc/dnf/plugins/versionlock.list", "")
        box.write("etc/dnf/vars/releasever", f"{version}\n")
    else:
        box.write("usr/local/sbin/zypper", zypper().read_bytes(), mode=0o755)
        box.write("etc/zypp/repos.d/distribution.repo", config)
        box.write("etc/zypp/zypp.conf", "[main]\n")
        box.write("etc/zypp/zypper.conf", "[main]\n")
    for program in ("dpkg", "dpkg-query", "apt-get", "apt-mark", "apt-cache"):
        box.hide(f"usr/bin/{program}")
    box.write("usr/local/sbin/uname", UNAME.format(kernel=kernel_of(distribution)), mode=0o755)
    pretend(box)
    packages = sorted((mirror.folder / BASE_HOST / word).glob("*.rpm"))
    names = {f"{one['Name']}-{one['Version']}-{one['Release']}.x86_64.rpm" for one in base_packages(distribution)}
    wanted = [path for path in packages if path.name in names]
    with box:
        box.run("rpm", "--import", keyring).ok()
        box.run("rpm", "-i", *(str(path) for path in wanted)).ok()
    return box


def installed(box: Throwaway) -> dict[str, str]:
    """Name and version of every package that is installed."""
    rows = box.run("rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\\n").ok().splitlines()
    return {name: version for name, version in map(str.split, rows) if name != "gpg-pubkey"}


def zypper() -> Path:
    """The program. Debian's dnf plugins do not let its package in: .ci/run unpacks it beside the tests' environment."""
    found = shutil.which("zypper")
    return Path(found) if found else UNPACKED / "usr/bin/zypper"


def missing_programs(manager: str) -> str | None:
    """Why the bench can't run here; None where it can."""
    needed = (
        "rpm",
        "rpmbuild",
        "rpmsign",
        "createrepo_c",
        "modifyrepo_c",
        "gpg",
        *([manager] if manager == "dnf" else []),
    )
    if manager == "zypper" and not zypper().exists():
        return "no zypper here"
    missing = [name for name in needed if shutil.which(name) is None]
    return f"no {', '.join(missing)} here" if missing else None
