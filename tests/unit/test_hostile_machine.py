"""A machine whose files and programs are full of secrets: none of them is stored, printed or written anywhere."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from provision.checks import Context, Facts, lead, run_checks
from provision.console import Console
from provision.detect.environment_scan import scan
from provision.detect.examine import gather
from provision.detect.memory import Recorder
from provision.detect.surroundings import Kernel, Surroundings
from provision.documents.check import check_data
from provision.documents.codec import encode
from provision.documents.envelope import dumps
from provision.examined import load_default_matrix
from provision.process import Completed
from provision.report.check_junit import render_check_junit
from provision.report.check_prometheus import render_check_prometheus
from provision.report.check_text import render_check_text
from provision.snapshot import redacted, snapshot_data
from tests.boxes import healthy

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

MARK = "zq7secret"
"""Begins every secret; nothing else holds it."""
WHO = "zq7person"
"""Part of every name of a person, a server or an address that only --redact takes out."""
_NUMBER = itertools.count()


def secret() -> str:
    return f"{MARK}{next(_NUMBER):04d}"


def noise() -> str:
    """Lines that any file or output may hold, none of them of a form that a probe asks for."""
    return (
        f"# mail {secret()} when it breaks\n"
        f"password = {secret()}\n"
        f"{secret()} = {secret()}\n"
        f"/usr/bin/train --api-token {secret()} --name {secret()}\n"
        f"https://me:{secret()}@mirror.example/{secret()}/x?sig={secret()}\n"
    )


# What stands in the files of a careless person, by path; a box's own text comes before it.
FILES = {
    "/proc/cmdline": lambda: f" ip={secret()} ks=http://u:{secret()}@h/{secret()} rd.luks.key={secret()} {secret()}\n",
    "/proc/version": lambda: f" ({secret()}@{secret()}) #1 SMP\n",
    "/proc/cpuinfo": lambda: f"Serial\t\t: {secret()}\n",
    "/proc/self/mounts": lambda: f"//{secret()}/x / cifs rw,username={secret()},password={secret()} 0 0\n",
    "/proc/self/status": lambda: f"Name:\t{secret()}\n",
    "/proc/1/environ": lambda: f"TOKEN={secret()}\0container={secret()} with more\0",
    "/proc/77/stat": lambda: "77 (python3) S 1 77 77 0 -1\n",
    "/proc/77/comm": lambda: "python3\n",
    "/proc/77/cmdline": lambda: f"python3\0--token\0{secret()}\0",
    "/proc/77/environ": lambda: f"A={secret()}\0",
    "/etc/fstab": lambda: f"//{secret()}/x /mnt cifs username={secret()},password={secret()} 0 0\n",
    "/etc/environment": lambda: f"CUDA_VISIBLE_DEVICES={secret()}\nTOKEN={secret()}\n",
    "/etc/profile.d/site.sh": lambda: f"export NCCL_DEBUG={secret()} CUDA_HOME={secret()}\n",
    "/etc/group": lambda: f"video:{secret()}:44:{secret()}\nroot:{secret()}:0:{secret()}\n",
    "/etc/nccl.conf": lambda: f"NCCL_DEBUG={secret()}\nNCCL_SOCKET_IFNAME=eth0 {secret()}\nTOKEN={secret()}\n",
    "/etc/modprobe.d/site.conf": lambda: f"options radius secret_of={secret()}\n# options nvidia {secret()}\n",
    "/etc/modules": lambda: f"# {secret()}\n{secret()}\n",
    "/etc/modules-load.d/site.conf": lambda: f"# {secret()}\n",
    "/etc/default/grub": lambda: f'GRUB_CMDLINE_LINUX="ks=http://u:{secret()}@h {secret()}"\n',
    "/etc/default/grub.d/site.cfg": lambda: f'GRUB_CMDLINE_LINUX="{secret()}"\n',
    "/boot/grub/grubenv": lambda: f"kernelopts=root=x {secret()}\n",
    "/boot/grub2/grubenv": lambda: f"kernelopts=root=x {secret()}\n",
    "/etc/os-release": lambda: f'SUPPORT_TOKEN_URL="{secret()}"\n',
    "/etc/apt/apt.conf.d/50unattended-upgrades": lambda: (
        f'Acquire::http::Proxy "http://{secret()}:{secret()}@p";\nUnattended-Upgrade::Mail "{secret()}";\n'
    ),
    "/etc/apt/sources.list.d/cuda-site.list": lambda: f"deb https://{secret()}:{secret()}@m.example/{secret()}/ /\n",
    "/etc/apt/sources.list.d/nvidia.sources": lambda: f"URIs: https://m.example/{secret()}/\nX-Key: {secret()}\n",
    "/etc/apt/auth.conf": lambda: f"machine m login {secret()} password {secret()}\n",
    "/etc/dnf/automatic.conf": lambda: f"email_to = {secret()}\napply_updates = no\n",
    "/etc/dnf/versionlock.toml": lambda: f'comment = "{secret()}"\n',
    "/etc/dnf/modules.d/nvidia-driver.module": lambda: f"profiles={secret()}\n",
    "/etc/zypp/locks": lambda: f"name: {secret()}\n",
    "/etc/ld.so.conf.d/site.conf": lambda: f"/opt/{secret()}/lib\n",
    "/etc/nvidia-imex/nodes_config.cfg": lambda: f"{secret()}\n",
    "/run/reboot-required": lambda: "",
    "/var/log/kern.log": noise,
    "/var/log/messages": noise,
    "/var/log/audit/audit.log": lambda: (
        f'type=EXECVE msg=audit(1795000000.1:7): argc=3 a0="nvidia-smi" a1="--token" a2="{secret()}"\n'
        f"type=PROCTITLE msg=audit(1795000000.1:7): proctitle={secret()}\n"
        f'type=AVC msg=audit(1795000000.1:8): avc:  denied  {{ read }} for  pid=7 comm="nvidia-smi" argv="{secret()}"\n'
    ),
    "/var/log/apt/history.log": lambda: (
        f"Start-Date: 2026-11-20  06:12:33\nCommandline: apt install {secret()}\n"
        f"Requested-By: {secret()}\n"
        "Upgrade: libnvidia-compute-535:amd64 (535.171.04-0ubuntu0.22.04.1, 535.183.01-0ubuntu0.22.04.1)\n"
    ),
    "/etc/docker/daemon.json": lambda: json.dumps(
        {
            "proxies": {"http-proxy": f"http://me:{secret()}@p:1"},
            "registry-mirrors": [f"https://{secret()}"],
            "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": ["--key", secret()]}},
            "exec-opts": ["native.cgroupdriver=systemd", f"x={secret()}"],
            "log-opts": {"splunk-token": secret()},
        }
    ),
    "/etc/containerd/config.toml": lambda: (
        f'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.configs.x.auth]\npassword = "{secret()}"\n'
        f'[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]\nEnv = ["T={secret()}"]\n'
    ),
    "/etc/nvidia-container-runtime/config.toml": lambda: (
        f'[nvidia-container-cli]\nenvironment = ["T={secret()}"]\nldcache = "{secret()}"\n'
    ),
    "/etc/cdi/nvidia.yaml": lambda: (
        "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n  containerEdits:\n"
        f'    env: ["T={secret()}"]\n    hooks:\n    - path: /usr/bin/true\n      args: ["{secret()}"]\n'
    ),
    "/usr/local/cuda-12.4/version.json": lambda: json.dumps({"cuda": {"version": "12.4.1"}, "who": secret()}),
}
ENVIRON = {
    **dict.fromkeys(("HF_TOKEN", "CUDA_VISIBLE_DEVICES", "NCCL_DEBUG", "NCCL_TOPO_FILE", "CC x"), f"{MARK}-value"),
    **dict.fromkeys(("TMPDIR", "UV_CACHE_DIR", "XDG_DATA_HOME", "CUDA_HOME", "LD_PRELOAD"), f"/opt/{MARK}-value"),
    **dict.fromkeys(("NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA", "CUDA_VERSION"), f"{MARK}value"),
    "HTTPS_PROXY": f"http://me:{MARK}@proxy:3128",
    "https_proxy": f"http://me:{MARK}2@proxy:3128",
    "DOCKER_HOST": f"ssh://{MARK}@elsewhere",
    "SLURM_NNODES": f"2 {MARK}",
}
OUTPUTS = {
    "dkms status": lambda: f"{secret()}/1.0, 6.8: installed\n",
    "apt-mark showhold": lambda: f"{secret()}\n",
    "modinfo nvidia": lambda: f"parm: x:{secret()}\nauthor: {secret()}\n",
    "nvidia-smi -q -x": lambda: (
        '<?xml version="1.0" ?>\n<nvidia_smi_log>\n<driver_version>580.82.07</driver_version>\n'
        f'<gpu id="00000000:01:00.0"><product_name>T4</product_name><serial>{secret()}</serial>\n'
        f"<processes><process_info><process_name>train --token {secret()}</process_name></process_info></processes>\n"
        "</gpu>\n</nvidia_smi_log>\n"
    ),
    "nvme smart-log /dev/nvme0 -o json": lambda: json.dumps({"critical_warning": 0, "sn": secret()}),
    "docker info --format {{json .}}": lambda: json.dumps(
        {
            "ServerVersion": "27.0.1",
            "Name": "box",
            "HttpProxy": f"http://me:{secret()}@p",
            "Labels": [secret()],
            "RegistryConfig": {"Mirrors": [secret()]},
            "Runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": [secret()]}},
        }
    ),
    "docker image ls --format {{.Repository}}:{{.Tag}}": lambda: f"registry.example/{secret()}:latest\nubuntu:24.04\n",
    "docker ps --quiet --no-trunc": lambda: f"{'0a' * 32}\n{secret()}\n",
    "docker inspect --format {{.Id}} {{json .HostConfig.DeviceRequests}} " + "0a" * 32: lambda: (
        f'{"0a" * 32} [{{"Capabilities":[["gpu"]],"Options":{{"x":"{secret()}"}}}}]\n'
    ),
    "journalctl -k -b -o short-unix --no-pager -q -n 30000": lambda: (
        f"1795000000.1 box kernel: Command line: root=x {secret()}\n"
        f'1795000000.2 box kernel: audit: type=1309 a0="grep" a1="RmInitAdapter failed" a2="{secret()}"\n'
        f"1795000000.3 box kernel: systemd[1]: Started RmInitAdapter failed {secret()}.\n"
        f"1795000000.4 box kernel: Out of memory: Killed process 5 (python3) of {secret()}\n"
        f"1795000000.5 box app[5]: NVRM: Xid (PCI:0000:01:00): 79 {secret()}\n"
        f"1795000000.6 box kernel: usb 1-1: SerialNumber: {secret()}\n"
    ),
}
SAYS_JSON = ("docker", "nvme", "nvidia-smi -q", "nvidia-smi -L")


PROGRAMS = (
    "apt-mark",
    "cc",
    "chronyc",
    "containerd",
    "dkms",
    "dmesg",
    "docker",
    "dpkg-query",
    "ipmitool",
    "journalctl",
    "lspci",
    "modinfo",
    "mokutil",
    "nv-fabricmanager",
    "nvidia-ctk",
    "nvidia-imex",
    "nvidia-imex-ctl",
    "nvidia-smi",
    "nvme",
    "nvpmodel",
    "podman",
    "rpm",
    "stat",
    "systemctl",
)


def runner_of(box):
    """Answers as the programs of the box do, with secrets behind what they say and on stderr."""
    told = {key: look.value for (kind, key), look in box.around("standard").memory._looks.items() if kind == "command"}

    def run(argv, **_):
        words = [word for word in argv if word not in ("env", "LC_ALL=C")]
        name = " ".join((Path(words[0]).name, *words[1:]))
        if any(word.endswith("nvml_probe.py") for word in words):
            name = "nvml health"
        elif any(word.endswith("cuda_probe.py") for word in words):
            name = "cuda" if words[-1] == "init" else f"cuda context {words[-1]}"
        elif "run" in words[1:2]:
            return Completed(tuple(argv), 0, f"GPU-00000000-0000-0000-0000-000000000000\n{secret()}\n", secret())
        if name in OUTPUTS:
            more = "" if name.startswith(SAYS_JSON) else noise()
            before = told.get(name, {}).get("stdout", "") if more else ""
            return Completed(tuple(argv), 0, before + OUTPUTS[name]() + more, secret())
        if name in told:
            value = told[name]
            return Completed(tuple(argv), value["returncode"], value["stdout"] + noise(), value["stderr"] + noise())
        return Completed(tuple(argv), 0, noise(), noise())

    return run


def tree_of(box, root):
    """The files of a box on disk, each with secrets in it."""
    for (kind, key), look in box.looks.items():
        if kind == "names" and look.is_present:
            (root / key.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for (kind, key), look in box.looks.items():
        path = root / key.lstrip("/")
        if kind in ("text", "exists", "status") and look.is_present and look.value is not False and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(look.value if kind == "text" else path.read_text() if path.exists() else "")
    for (kind, key), look in box.looks.items():
        path = root / key.lstrip("/")
        if kind == "link" and look.is_present and not path.is_dir():
            path.unlink(missing_ok=True)
            path.symlink_to(look.value)
    for key, text in FILES.items():
        path = root / key.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        own = path.read_text() if path.is_file() and not key.endswith((".json", ".toml", ".yaml")) else ""
        more = noise() if key.startswith("/etc") and not key.endswith((".json", ".toml", ".yaml")) else ""
        path.write_text(own.rstrip("\n") + ("" if key == "/proc/cmdline" else "\n") + text() + more)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with every program that a probe may start; none of them is ever run."""
    folder = tmp_path_factory.mktemp("bin")
    for name in PROGRAMS:
        (folder / name).write_text("#!/bin/false\n")
        (folder / name).chmod(0o755)
    return folder


def hostile(box, root, programs, **more):
    tree_of(box, root)
    return Surroundings(
        root=root,
        environ={**ENVIRON, "PATH": str(programs), **more},
        runner=runner_of(box),
        kernel=Kernel("Linux", box.kernel, box.arch, "box"),
        libc="glibc 2.39",
        memory=Recorder(),
    )


def everything_of(around, level):
    """All that may leave the machine: by name, as text."""
    machine = gather(around, level)
    assert [one for one in machine.readings if one.name.startswith("probe.")] == []
    results = run_checks(Facts(machine, Context(now=around.now, matrix=load_default_matrix)))
    assert [one.happened for one in results if one.status == "crashed"] == []
    cause, folded = lead(results)
    data = check_data(results, cause=cause, level=level, folded=folded, environment_classes=[])
    console = Console()
    return {
        "snapshot": dumps(encode(snapshot_data(around, level))),
        "machine": dumps(encode(machine)),
        "check": dumps(encode(data)),
        "junit": render_check_junit(results, timestamp="2026-11-23T00:00:00", is_strict=True),
        "prometheus": render_check_prometheus(results, taken_at=around.now, cause=cause),
        "text": render_check_text(results, console.out, cause=cause, folded=folded, notes=(), is_verbose=True),
    }


def leaks(told):
    return {
        name: sorted(set(re.findall(rf".{{0,60}}{MARK}.{{0,20}}", text)))[:5]
        for name, text in told.items()
        if MARK in text
    }


BOXES = (healthy.t4, healthy.h100x8, healthy.container)


@pytest.mark.parametrize("make", BOXES, ids=lambda make: make.__name__)
def test_no_secret_of_any_file_or_program_is_kept(make, tmp_path, programs):
    around = hostile(make(), tmp_path, programs)
    found = leaks(everything_of(around, "standard"))
    assert found == {}, json.dumps(found, indent=1)


IDENTITIES = (
    f"/home/{WHO}/.nv",
    f"/Users/{WHO}",
    f"/media/{WHO}/disk",
    f"mount {WHO}@{WHO}.example:/data",
    f"mail {WHO}.name@{WHO}.example.org",
    f"{WHO}-box kernel:",
    f"{WHO}-box.{WHO}.example",
    f"{WHO.upper()}-BOX",
)
NUMBERS = (
    "GPU-12345678-1234-1234-1234-1234567890ab",
    "12345678-1234-1234-1234-1234567890ab",
    "de:ad:be:ef:00:01",
    "DE:AD:BE:EF:00:01:02:03:04:05",
    "10.20.30.40",
    "fe80::dead:beef",
    "2001:db8:1:2:3:4:5:6",
)


def test_redaction_leaves_no_name_of_a_person_or_a_server(tmp_path, programs):
    box = healthy.t4()
    around = hostile(box, tmp_path, programs, HOME=f"/home/{WHO}")
    around = replace(around, kernel=Kernel("Linux", box.kernel, box.arch, f"{WHO}-box.{WHO}.example"))
    gather(around, "standard")
    for number, text in enumerate((*IDENTITIES, *NUMBERS)):
        around.answer(f"identity {number}", lambda text=text: f"before {text} behind")
    told = dumps(encode(redacted(snapshot_data(around, "standard"))))
    assert re.findall(rf"(?i).{{0,60}}{WHO}.{{0,20}}", told) == []
    assert [one for one in NUMBERS if one in told] == []
    assert "0::/user.slice" in told


@pytest.mark.parametrize("text", ["0000:07:00.0", "0::/system.slice/x", "12:34:56", "c10::Error", "user@1000.service"])
def test_redaction_leaves_what_is_no_identity(text, tmp_path):
    around = Surroundings(root=tmp_path, environ={}, kernel=Kernel("Linux", "6.8", "x86_64", "box"), memory=Recorder())
    around.answer("x", lambda: f"before {text} behind")
    assert redacted(snapshot_data(around, "quick")).looks["answer"]["x"] == {"present": f"before {text} behind"}


def test_an_environment_keeps_no_address(tmp_path):
    site = tmp_path / "lib/python3.12/site-packages"
    info = site / "torch-2.9.1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text(f"version = 3.12.3\ncommand = python -m venv {secret()}\n")
    (info / "METADATA").write_text(
        "Name: torch\nVersion: 2.9.1\n"
        f"Requires-Dist: triton @ https://me:{secret()}@mirror.example/{secret()}/triton.whl?sig={secret()}\n"
        f"Author-email: {secret()}\n"
    )
    (info / "direct_url.json").write_text(json.dumps({"url": f"https://{secret()}@mirror.example/{secret()}"}))
    (info / "INSTALLER").write_text("pip\n")
    found = json.dumps(scan(str(tmp_path)))
    assert MARK not in found
    assert '["torch", "triton"]' in found


def test_a_channel_that_is_a_key_is_not_kept(tmp_path):
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    (tmp_path / "lib/python3.12/site-packages").mkdir(parents=True)
    for number, channel in enumerate(
        (f"https://conda.example/t/{secret()}", f"https://conda.example/t/{secret()}/noarch")
    ):
        text = json.dumps({"channel": channel})
        (meta / f"pytorch-2.{number}-py312_0.json").write_text(text)
    (meta / "mkl-2024.0-0.json").write_text('{"channel": "https://conda.example/t/x/main/linux-64"}')
    assert scan(str(tmp_path))["conda"] == [["mkl", "2024.0", "main"], ["pytorch", "2.0", ""], ["pytorch", "2.1", ""]]
