"""Random machines and requests as plain values, each from one row of choices.

`choose` is the only source of chance: `rng.choice` of a seeded generator, or a draw of hypothesis, which then makes the
machine of a failure small. The first option of every choice is the plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .facts import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .facts import Facts

Plain = dict[str, Any]

TORCH = ["2.0", "2.4", "2.6.0", "2.9", "2.10", "2.15", "2", "<2.9", ">=2.6,<2.10", "~=2.4.0", ">=2.11", "3", "!=2.15.0"]
CUDA = ["cu118", "cu126", "cu128", "cu129", "cu130", "12.1", "12", "<13", "13", ">=12.8", "<12", "cu134"]
TRANSFORMERS = ["4.30", "4.46", "4.57.3", "<4.50", ">=5", "5", "5.22", ">=4.57,<5.2", "4.20", "6"]
ASKED_PYTHONS = ["3.11", "3.8", "3.9", "3.10", "3.12.4", "3.14t", "3.15", "3.7"]
HOST_PYTHONS = [
    "3.12",
    "3.10",
    "3.9",
    "3.8",
    "3.11",
    "3.13",
    "3.13t",
    "3.14",
    "3.14t",
    "3.15",
    "3.15t",
    "3.7",
    "pypy3.10",
]
CAPABILITIES = ["3.5", "3.7", "5.3", "6.2", "7.2", "8.7", "8.9", "9.0", "10.1", "10.7", "11.0", "12.1", "13.0"]


class Pool:
    """What is worth trying: every border of the matrix with both its sides, and oddities."""

    def __init__(self, facts: Facts) -> None:
        self.names = sorted(facts.by_name)
        self.pci = sorted(facts.by_pci)
        self.branches = facts.branches
        self.tegra = {".".join(map(str, capability)) for capability in facts.tegra}
        rows = [row for row in facts.gpus.values() if row["capability"] in self.tegra]
        self.tegra_boards = {text for row in rows for text in (*row["nvml"], *row["pci"])}
        self.packages = sorted(facts.forward["rows"], key=numbers)
        self.linux, self.windows = (_borders(facts, system) for system in ("linux", "windows"))

    def case(self, choose: Callable[[Sequence[Any]], Any]) -> tuple[Plain, Plain]:
        """One machine with one request."""
        return self.machine(choose), self.request(choose)

    def machine(self, choose: Callable[[Sequence[Any]], Any]) -> Plain:
        system = choose(["linux"] * 12 + ["windows", "windows", "darwin", None])
        is_wsl = system == "linux" and choose([False] * 6 + [True])
        is_windows = system == "windows" or is_wsl
        gpus = self._gpus(choose)
        driver = choose([None, *(self.windows if is_windows else self.linux)])
        if driver and choose([False, True]):  # every second driver is one that many GPUs can live with
            driver = choose([text for text in (self.windows if is_windows else self.linux) if numbers(text)[0] >= 525])
        return {
            "system": system,
            "os": None,
            "arch": choose(["x86_64"] * 6 + ["aarch64"] * 3 + ["amd64", "arm64", "ppc64le", None]),
            "is_wsl": is_wsl,
            **self._glibc(choose),
            **self._pythons(choose),
            "driver": driver,
            "driver_cuda": self._reported(choose, driver),
            "module": choose([None, None, None, "open", "proprietary"]) if driver else None,
            "gpus": gpus,
            "state": choose(["usable"] * 9 + ["unusable", "none"]) if gpus else choose(["none"] * 9 + ["unusable"]),
        }

    def request(self, choose: Callable[[Sequence[Any]], Any]) -> Plain:
        request: Plain = {"torch": None, "cuda": None, "transformers": None, "python": None, "cpu": False}
        if choose([True, False]):
            return request
        cpu = choose([False] * 7 + [True])
        return {
            "torch": choose([None, None, None, *TORCH]),
            "cuda": None if cpu else choose([None] * 12 + CUDA),
            "transformers": choose([None] * 16 + TRANSFORMERS),
            "python": choose([None] * 16 + ASKED_PYTHONS),
            "cpu": cpu,
        }

    def _gpus(self, choose: Callable[[Sequence[Any]], Any]) -> list[Plain]:
        kinds = [self._gpu(choose) for _ in range(choose([1, 1, 1, 0, 2, 2, 3]))]
        # A box is a Tegra or holds boards, not both: one driver number cannot be compared and not be compared.
        kinds = [kind for kind in kinds if self._is_tegra(kind) is self._is_tegra(kinds[0])]
        count = choose([len(kinds), *range(len(kinds), 5)]) if kinds else 0
        return [dict(kind) for kind in [*kinds, *(choose(kinds) for _ in range(count - len(kinds)))]]

    def _is_tegra(self, gpu: Plain) -> bool:
        return gpu["capability"] in self.tegra or bool(self.tegra_boards & {gpu["name"], gpu["pci"]})

    def _gpu(self, choose: Callable[[Sequence[Any]], Any]) -> Plain:
        gpu: Plain = {"name": None, "pci": None, "capability": None, "mig": None, "instances": None}
        match choose(["name"] * 8 + ["pci", "pci", "capability", "capability", "nothing"]):
            case "name":
                gpu["name"] = choose(self.names)
            case "pci":
                gpu["pci"] = choose(self.pci)
            case "capability":
                gpu |= {"name": "Graphics Device", "capability": choose(CAPABILITIES)}
            case _:
                gpu["name"] = "Graphics Device"
        mig, instances = choose(
            [(None, None)] * 5 + [("disabled", None), ("enabled", 0), ("enabled", 2), ("enabled", None)]
        )
        return gpu | {"mig": mig, "instances": instances}

    def _glibc(self, choose: Callable[[Sequence[Any]], Any]) -> Plain:
        glibc = choose(["2.35"] * 8 + ["2.12", "2.17", "2.27", "2.28", "2.39", None, None, None])
        failure = None if glibc else choose([None, "no symbol", "musl libc 1.2.4"])
        return {"glibc": glibc, "glibc_failure": failure}

    def _pythons(self, choose: Callable[[Sequence[Any]], Any]) -> Plain:
        python = choose([None, *HOST_PYTHONS, *HOST_PYTHONS[:6], *HOST_PYTHONS[:6]])
        others = [choose(HOST_PYTHONS) for _ in range(choose([0, 0, 0, 1, 2]))]
        failure = "no python3 on PATH" if python is None and choose([False, True]) else None
        return {"python": python, "others": others, "python_failure": failure}

    def _reported(self, choose: Callable[[Sequence[Any]], Any], driver: str | None) -> str | None:
        """The CUDA that user space implements: unread, the branch's own, or that of a compatibility package."""
        packages = [*self.packages, "12.7", "13.4", "13.5"]
        if driver is None:
            return choose([None, None, *packages])
        own = [number for number in self.branches if number <= numbers(driver)[0]]
        known = [self.branches[max(own)]["cuda"]] if own else []
        newer = [text for text in packages if not known or numbers(text) > numbers(known[0])]
        return choose([None, *known, *known, *([choose(newer)] if newer else [])])


def _borders(facts: Facts, system: str) -> list[str]:
    """Every driver number of the matrix with its neighbours."""
    texts = {row[system] for row in (*facts.majors.values(), *facts.toolkits.values()) if row[system]}
    texts |= {row[f"latest_{system}"] for row in facts.branches.values() if row[f"latest_{system}"]}
    texts |= {str(number) + ".10" for number in facts.branches}
    if system == "linux":
        texts |= {row["first_driver"] for row in facts.architectures.values() if row.get("first_driver")}
        later = [branch for row in facts.architectures.values() for branch in row.get("later", {}).values()]
        texts |= {f"{branch}.00" for branch in later} | {"1.1", "390.157", "440.33.01", "580", "640.10"}
    else:
        texts |= {
            f"{facts.wsl_branch}.00",
            f"{facts.wsl_branch - 1}.99",
            "388.13",
            "536.25",
            "537.13",
            "541.90",
            "566.14",
            "572.16",
            "579.99",
            "581.29",
            "591.44",
            "640.10",
        }
    return sorted({other for text in texts for other in _neighbours(text)}, key=numbers)


def _neighbours(text: str) -> list[str]:
    *head, last = text.split(".")
    around = [number for number in (int(last) - 1, int(last), int(last) + 1) if number >= 0]
    return [".".join([*head, f"{number:0{len(last)}}"]) for number in around]
