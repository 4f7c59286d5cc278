"""Machines for the benchmarks: documents as `gpusetup detect --json` writes them, made from the values of the matrix.

python benchmarks/plan/machines.py different 10000 > machines.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from provision.matrix import read_matrix

PYTHONS = ("3.9.21", "3.10.12", "3.11.7", "3.12.3", "3.13.1", "3.14.0")
SYSTEMS = (
    ("centos", "7", "2.17"),
    ("ubuntu", "20.04", "2.31"),
    ("rhel", "9.4", "2.34"),
    ("ubuntu", "22.04", "2.35"),
    ("debian", "12", "2.36"),
    ("ubuntu", "24.04", "2.39"),
)
HOST_FACTS = (
    "hostname",
    "system",
    "os",
    "os_version",
    "kernel",
    "arch",
    "glibc",
    "is_wsl",
    "container",
    "virtualization",
)
GPU_FACTS = ("name", "gpu_uuid", "pci_bus_id", "pci_device_id", "compute_capability", "memory_bytes", "mig_mode")


def different(number: int, *, seed: int = 1) -> list[dict]:
    """That many machines, no two of which agree on GPU, driver, Python and system together."""
    matrix = read_matrix()
    names = [row.nvml_names[0] for row in matrix.gpus if row.nvml_names]
    drivers = sorted({str(branch.latest_linux) for branch in matrix.branches if branch.latest_linux})
    kinds = list(product(names, drivers, PYTHONS, SYSTEMS))
    chosen = random.Random(seed).sample(kinds, number)
    return [machine(place, *kind, gpus=1 + place % 8) for place, kind in enumerate(chosen)]


def cluster(number: int, *, seed: int = 1) -> list[dict]:
    """That many machines of forty kinds, as a data center buys and images them."""
    kinds = different(40, seed=seed)
    pick = random.Random(seed)
    return [_renamed(pick.choice(kinds), place) for place in range(number)]


def _renamed(document: dict, place: int) -> dict:
    data = document["data"]
    gpu, python, host = data["gpus"][0], data["python"]["version"], data["host"]
    system = (host["os"], host["os_version"], host["glibc"])
    return machine(place, gpu["name"], data["driver"]["driver_version"], python, system, gpus=len(data["gpus"]))


def machine(place: int, gpu: str, driver: str, python: str, system: tuple[str, str, str], *, gpus: int) -> dict:
    """The document of one machine, with a reading for every fact as detection leaves them."""
    os_name, os_version, glibc = system
    host = dict.fromkeys(HOST_FACTS) | {
        "hostname": f"node{place:05d}",
        "system": "linux",
        "os": os_name,
        "os_version": os_version,
        "kernel": "5.15.0-113-generic",
        "arch": "x86_64",
        "glibc": glibc,
        "is_wsl": False,
    }
    cards = [
        {
            "index": index,
            "name": gpu,
            "gpu_uuid": f"GPU-{place:08x}-0000-0000-0000-{index:012x}",
            "pci_bus_id": f"0000:{index:02x}:00.0",
            "pci_device_id": None,
            "compute_capability": None,
            "memory_bytes": 80 * 2**30,
            "mig_mode": "disabled",
            "kernel_driver": "nvidia",
            "in_nvml": True,
        }
        for index in range(gpus)
    ]
    readings = [{"name": f"host.{name}", "source": "os", "value": host[name], "failure": None} for name in HOST_FACTS]
    readings += [
        {"name": f"gpu.{card['index']}.{name}", "source": "nvml", "value": card[name], "failure": None}
        for card in cards
        for name in GPU_FACTS
    ]
    data = {
        "host": host,
        "python": {"version": python, "implementation": "cpython", "is_free_threaded": False, "executable": "python3"},
        "interpreters": [],
        "driver": {"driver_version": driver, "driver_cuda_version": None, "kernel_module": "open"},
        "gpus": cards,
        "other_gpus": [],
        "gpu_state": "usable",
        "readings": readings,
        "assumptions": [],
    }
    return {
        "schema": "gpusetup.machine/1",
        "gpusetup": "0.1.0",
        "command": "detect",
        "status": "ok",
        "exit_code": 0,
        "data": data,
        "findings": [],
    }


def main() -> None:
    kind = {"different": different, "cluster": cluster}[sys.argv[1]]
    for document in kind(int(sys.argv[2])):
        sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
