"""The wheels of the mini matrix as an index on disk, and one audit of it over loopback."""

from __future__ import annotations

import contextlib

import index as bench_index
from matrix_mini import MINI

from provision.audit.run import audit
from provision.install.configuration import Location, PackageConfiguration
from provision.install.fetching import Deadlines
from provision.matrix import load_matrix
from provision.records import Request, Source
from provision.resolve.wishes import understand

TEXT = (
    MINI.replace("general_variant: cu130}", "general_variant: cu130, requires: {triton: 3.6.0}}")
    .replace(
        "manylinux_2_28_aarch64, general_variant: cpu}", "manylinux_2_28_aarch64, general_variant: cpu, requires: {}}"
    )
    .replace("free_threaded: {tokenizers: [cp314t]}", "free_threaded: {tokenizers: [cp312t]}")
)
MATRIX = load_matrix(TEXT, origin="mini.yaml")

LINUX = "platform_system == 'Linux' and platform_machine == 'x86_64'"
PINS_2_9 = (
    f"nvidia-nccl-cu12==2.27.5; {LINUX}",
    f"cuda-toolkit[nvrtc,cudart]==12.8.1; {LINUX}",
    f"triton==3.5.0; {LINUX} and python_version < '3.14'",
    "filelock",
)
PINS_2_10 = (f"triton==3.6.0; {LINUX}", "filelock")
CALM = Deadlines(silence_s=10.0, overall_s=30.0)


class Site:
    """What the index holds: every wheel may be replaced, added or taken away before `audit` serves it."""

    def __init__(self, root):
        self.root = root
        self.options = {"names_metadata": False}
        self.wheels = {}
        self.add("torch", "2.9.0", "cp312-cp312-manylinux_2_28_x86_64", PINS_2_9)
        self.add("torch", "2.10.0", "cp312-cp312-manylinux_2_28_x86_64", PINS_2_10)
        self.add("torch", "2.10.0", "cp313-cp313t-manylinux_2_28_x86_64", PINS_2_10)
        self.add("torch", "2.10.0", "cp312-cp312-manylinux_2_28_aarch64", PINS_2_10)
        self.add("torch", "2.10.0", "cp312-none-macosx_11_0_arm64", PINS_2_10)
        self.add("torch", "2.10.0", "cp313-cp313t-macosx_14_0_arm64", PINS_2_10)
        for torch, vision in (("2.9.0", "0.24.0"), ("2.10.0", "0.25.0")):
            self.add("torchvision", vision, "cp312-cp312-manylinux_2_28_x86_64", (f"torch=={torch}",))
            self.add("torchaudio", torch, "cp312-cp312-manylinux_2_28_x86_64")
        for patch in range(1, 7):
            needs = ("tokenizers<=0.23.0,>=0.22.0", "torch>=2.2; extra == 'torch'")
            self.add("transformers", f"4.57.{patch}", requires=needs, requires_python=">=3.9.0")
        self.add("accelerate", "1.10.0", requires=("torch>=2.0.0", "numpy<3.0.0,>=1.17"), requires_python=">=3.9.0")
        self.add("accelerate", "1.10.1", requires=("torch>=2.0.0", "numpy<3.0.0,>=1.17"), requires_python=">=3.9.0")
        self.add("accelerate", "1.11.0", requires=("torch>=2.10.0", "numpy>=1.17"), requires_python=">=3.10.0")
        for version in ("0.17.0", "0.17.1"):
            self.add("peft", version, requires=("torch>=1.13.0", "numpy>=1.17"), requires_python=">=3.9.0")
        self.add("tokenizers", "0.23.1", "cp312-cp312t-manylinux_2_28_x86_64")

    def add(self, name, version, tag="py3-none-any", requires=(), *, where="general", **more):
        self.wheels[where, name, version, tag] = {"requires": requires, **more}

    def drop(self, name, version, tag="py3-none-any", where="general"):
        del self.wheels[where, name, version, tag]

    def write(self):
        for (where, name, version, tag), more in self.wheels.items():
            bench_index.make_wheel(self.root / where / name, name, version, tag, **more)
        bench_index.write_pages(self.root, **self.options)
        return self

    @contextlib.contextmanager
    def serving(self):
        self.write()
        with bench_index.serving(self.root) as (address, behaviour):
            yield address, behaviour

    def audit(self, torch=None):
        """Read as files: what differs does not depend on the way."""
        self.write()
        return audited(configuration(f"file://{self.root}/general", f"file://{self.root}/whl"), torch)

    def audit_over_http(self, torch=None, *, faults=None, has_ranges=True):
        with self.serving() as (address, behaviour):
            behaviour.faults.update(faults or {})
            behaviour.has_ranges = has_ranges
            self.behaviour = behaviour
            return audited(configuration(f"{address}/general", f"{address}/whl"), torch)


def configuration(general, torch_index="http://127.0.0.1:1/whl", **more):
    source = Source("index", general, name="test", is_default=True)
    return PackageConfiguration(default_index=Location(source, general), torch_index=torch_index, **more)


def audited(settings, torch=None, matrix=MATRIX, deadlines=CALM):
    wish = understand(Request(torch=torch)).torch
    return audit(
        matrix,
        settings,
        torch=torch,
        allows=wish.allows if wish else lambda _: True,
        events=lambda _: None,
        deadlines=deadlines,
        builtin=lambda: None,
    )


def row(data, place):
    """The one row of a place."""
    found = [row for row in data.rows if row.place == place]
    assert len(found) == 1, (place, [row.place for row in data.rows])
    return found[0]


def drifted(data):
    return {row.place: (row.matrix, row.index) for row in data.rows if row.verdict == "drift"}
