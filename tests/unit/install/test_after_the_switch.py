"""Real environments of stand-in wheels: what runs in them right after a switch, and after going back."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import index as bench_index
import pytest
from install_orders import PYTHON, TAG, build

from provision.install import tools
from provision.install.apply import install
from provision.install.configuration import read_configuration
from provision.install.environment import Store
from provision.install.inventory import inventory, rollback

WHERE = "import sys, torch\ndef main():\n    print(sys.prefix, torch.__version__)\n"


@pytest.fixture(scope="module")
def folder(site, tmp_path_factory):
    """Builds of CUDA 11, 12 and 13, and a distribution with a console script."""
    links = tmp_path_factory.mktemp("links")
    for version, cuda in (("2.6.0+cu118", "11.8"), ("2.6.0+cu126", "12.6"), ("2.9.0+cu130", "13.0")):
        bench_index.make_torch(links, version, cuda, python=TAG, requires=())
    info = "torch_where-1.0.dist-info"
    files = {"torch_where.py": WHERE, f"{info}/entry_points.txt": "[console_scripts]\ntorch-where = torch_where:main\n"}
    bench_index.make_wheel(links, "torch-where", "1.0", files=files)
    return links


@pytest.fixture
def made(order, folder, tmp_path):
    def make(torch, variant, **more):
        values = {
            "PIP_CONFIG_FILE": "/dev/null",
            "UV_NO_CONFIG": "1",
            "UV_FIND_LINKS": str(folder),
            "PIP_NO_INDEX": "1",
        }
        return install(
            order(
                build(torch, variant, requirements=("torch-where",)),
                digest=torch + variant,
                configuration=read_configuration(values),
                **more,
            )
        )

    return make


def ran(argv, **environ):
    return subprocess.run(
        argv, capture_output=True, text=True, check=True, env={**os.environ, **environ}
    ).stdout.split()


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=pytest.mark.e2e)])
def test_scripts_and_settings_are_those_of_the_folder_behind_the_link(made, tmp_path, backend):
    """Of the folder and not of the link: what has been started keeps its packages when the link is switched."""
    env, store = tmp_path / "env", Store.of(tmp_path / "env")
    made("2.6.0", "cu118", backend=backend)
    first = store.current
    made("2.9.0", "cu130", backend=backend)
    second = store.current

    def shown(folder, version):
        answer = [str(folder), version]
        assert ran([env / "bin/torch-where"]) == answer
        assert ran(["torch-where"], PATH=f"{env}/bin:/usr/bin:/bin") == answer
        assert ran(["sh", "-c", f". {env}/bin/activate && torch-where"]) == answer
        assert ran([env / "bin/python", "-c", "import torch; print(torch.__version__)"]) == [version]
        assert (env / "bin/torch-where").read_text().splitlines()[0] == f"#!{folder}/bin/python"
        settings = dict(re.findall(r"(?m)^(\S+) = (.*)$", (env / "pyvenv.cfg").read_text()))
        assert Path(settings["home"]).samefile((env / "bin/python").resolve().parent)
        assert settings["include-system-site-packages"] == "false"
        assert (settings.get("version_info") or settings["version"]).startswith(PYTHON)
        assert settings["prompt"].strip("'") == "env"

    shown(second, "2.9.0+cu130")
    rollback(env)
    shown(first, "2.6.0+cu118")
    rollback(env)
    shown(second, "2.9.0+cu130")


def test_a_process_goes_on_with_its_environment_after_a_switch(made, tmp_path):
    """It was started by the script, imports late, and two more installs would have removed what it needs."""
    store = Store.of(tmp_path / "env")
    made("2.6.0", "cu118")
    first = store.current
    code = "import sys; print(1, flush=True); input(); import torch; print(sys.prefix, torch.__version__)"
    argv = [first / "bin/python", "-c", code]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    made("2.6.0", "cu126")
    receipt = made("2.9.0", "cu130")
    assert [(used.name, used.pid) for used in receipt.in_use] == [(first.name, child.pid)]
    assert child.communicate("\n")[0].split() == [str(first), "2.6.0+cu118"]


@pytest.mark.parametrize(("before", "after"), [("cu118", "cu126"), ("cu126", "cu130")])
def test_another_cuda_major_is_always_another_environment(made, tmp_path, before, after):
    store = Store.of(tmp_path / "env")
    made("2.9.0" if before == "cu130" else "2.6.0", before)
    old = store.current
    receipt = made("2.9.0" if after == "cu130" else "2.6.0", after)
    assert (receipt.reused, receipt.build.variant) == (False, after)
    assert store.current != old
    assert {row.variant for row in inventory(store.path).environments} == {before, after}
    assert ran([old / "bin/python", "-c", "import torch; print(torch.version.cuda)"]) == [
        {"cu118": "11.8", "cu126": "12.6"}[before]
    ]


def test_what_pip_and_uv_did_by_hand_is_found(made, folder, site, tmp_path):
    """The real tools: one adds a package, the other takes one away."""
    env = tmp_path / "env"
    made("2.6.0", "cu126")
    python, general = ["--python", str(env / "bin/python")], f"{site.as_uri()}/general"
    pip = [*tools.pip_argv(), *python, "install", "--no-deps", "--index-url", general, "filelock"]
    subprocess.run(pip, check=True, capture_output=True)
    subprocess.run([tools.uv_binary(), "pip", "uninstall", *python, "torch-where"], check=True, capture_output=True)
    receipt = made("2.6.0", "cu126")
    assert {change.text for change in receipt.changes} == {"torch-where 1.0 is gone", "filelock 3.15.0 was added"}
    assert [change.requirement for change in receipt.changes if change.expected is None] == ["filelock==3.15.0"]
    assert made("2.6.0", "cu126").reused
