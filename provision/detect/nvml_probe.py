"""Asks NVML everything, in a process of its own that may crash or hang.

`python nvml_probe.py <folder of pynvml> [base|health]`: `base` is what a GPU is and whether it answers, `health` adds
what nvml_health.py beside this file asks. Standard library and pynvml only; it imports nothing of this package. Every
line it writes is one JSON object, written before the next call, so that what was learned before a crash or a hang is
kept:

    {"at": "nvmlDeviceGetName", "gpu": 0}                                     about to call
    {"fact": "name", "gpu": 0, "value": "NVIDIA A100-SXM4-80GB"}              it answered
    {"facts": {"ecc_mode": "enabled", "ecc_pending": "enabled"}, "gpu": 0}    it answered several at once
    {"fact": "mig_mode", "gpu": 0, "code": 3, "failure": "Not Supported"}     it did not
    {"fact": "end", "gpu": null, "value": true}                               everything was asked
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # the module typing is not worth its import time here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NOT_FOUND = 6  # NVML_ERROR_NOT_FOUND: this place holds no MIG device
_LARGEST_COUNT = 256  # a library that claims more GPUs than that is not believed


_UNKNOWN = {13, 25, 26}  # function not found, other version of a structure, deprecated: an older or newer way may work
_waiting: list[str] = []


def emit(**line: Any) -> None:
    """One line, written with the next call: only calls crash or hang."""
    _waiting.append(json.dumps(line, separators=(",", ":"), allow_nan=False))
    if "at" in line or line.get("fact") == "end":
        flush()


def flush() -> None:
    """Write what waits: a line that a crash takes away would be a fact lost."""
    waiting, written = ("\n".join(_waiting) + "\n").encode() if _waiting else b"", 0
    _waiting.clear()
    while written < len(waiting):
        written += os.write(1, waiting[written:])


class Probe:
    """One NVML call at a time, each either a value or a failure."""

    largest_count = _LARGEST_COUNT
    emit = staticmethod(emit)

    def __init__(self, pynvml: Any) -> None:
        self.pynvml = pynvml
        self.handles: dict[int, Any] = {}
        self.split: list[int] = []
        """GPUs with MIG on."""

    def ask(
        self,
        fact: str,
        function: str,
        *arguments: Any,
        gpu: int | None = None,
        turn: Callable[[Any], Any] = lambda answer: answer,
    ) -> Any:
        """The raw answer (True for a call without one), or None after a failure; a line is written either way."""
        emit(at=function, gpu=gpu)
        call = getattr(self.pynvml, function, None)
        if call is None:
            emit(fact=fact, gpu=gpu, code=13, failure=f"this nvidia-ml-py has no {function}")
            return None
        try:
            answer = call(*arguments)
            emit(fact=fact, gpu=gpu, value=turn(answer))
        except self.pynvml.NVMLError as err:
            emit(fact=fact, gpu=gpu, code=err.value, failure=str(err))
        except Exception as err:  # noqa: BLE001 -- a broken answer of one call must not end the others
            emit(fact=fact, gpu=gpu, code=None, failure=f"{type(err).__name__}: {err}")
        else:
            return True if answer is None else answer
        return None

    # --- calls that give an answer or the exception that says why there is none

    def call(self, function: str, *arguments: Any, gpu: int | None = None) -> Any:
        """Answer of one function of nvidia-ml-py, or the exception."""
        emit(at=function, gpu=gpu)
        call = getattr(self.pynvml, function, None)
        if call is None:
            return self.missing(function)
        try:
            return call(*arguments)
        except Exception as err:  # noqa: BLE001 -- a broken answer of one call must not end the others
            return err

    def call_library(self, function: str, *arguments: Any, gpu: int | None = None) -> Any:
        """0 from one function of the C library, or the exception."""
        emit(at=function, gpu=gpu)
        try:
            code = self.pynvml._nvmlGetFunctionPointer(function)(*arguments)  # noqa: SLF001 -- it has no public way
        except Exception as err:  # noqa: BLE001 -- as above; AttributeError where nvidia-ml-py keeps them elsewhere
            return err
        return self.error(code) if code else 0

    def error(self, code: int) -> Any:
        """The exception for an NVML code, with NVML's own words."""
        return self.pynvml.NVMLError(code)

    def missing(self, what: str) -> Any:
        """The exception for something that this nvidia-ml-py does not have."""
        return Missing(f"this nvidia-ml-py has no {what}")

    def missing_from_library(self, what: str) -> Any:
        """The exception for something that this driver's library does not tell."""
        return Missing(f"this driver's NVML does not tell {what}")

    def is_unknown(self, answer: Any) -> bool:
        """Whether another version of the function or of its structure may know what this one does not."""
        return isinstance(answer, Exception) and getattr(answer, "value", None) in _UNKNOWN

    def tell(
        self,
        facts: str,
        functions: str,
        *arguments: Any,
        gpu: int | None = None,
        turn: Callable[[Any], Any] = lambda answer: answer,
    ) -> None:
        """Ask and write: the first of these functions that this library knows gives these facts."""
        answer: Any = None
        for function in functions.split():
            answer = self.call(function, *arguments, gpu=gpu)
            if not self.is_unknown(answer):
                break
        self.answer(facts, answer, gpu=gpu, turn=turn)

    def answer(self, facts: str, answer: Any, *, gpu: int | None, turn: Callable[[Any], Any]) -> None:
        """Write one answer as one fact or, where `facts` names several, as its parts; a part may be an exception."""
        names = facts.split()
        if not isinstance(answer, Exception):
            try:
                answer = turn(answer)
            except Exception as err:  # noqa: BLE001 -- an answer that makes no sense is a failure of this fact
                answer = err
        several = len(names) > 1 and not isinstance(answer, Exception)
        told = dict(zip(names, answer if several else [answer] * len(names), strict=True))
        known = {name: value for name, value in told.items() if not isinstance(value, Exception)}
        if known:
            emit(facts=known, gpu=gpu)
        for name, value in told.items():
            if isinstance(value, Exception):
                emit(fact=name, gpu=gpu, code=getattr(value, "value", None), failure=words(value))

    def column(self, fact: str, answers: list[Any], *, gpu: int, turn: Callable[[Any], Any]) -> None:
        """Write the same call for several links as one list: null for a link without a value."""
        values, why = [], None
        for one in answers:
            try:
                values.append(None if isinstance(one, Exception) else turn(one))
                why = one if isinstance(one, Exception) else why
            except Exception as err:  # noqa: BLE001 -- as in `answer`
                values.append(None)
                why = err
        if why is not None and all(value is None for value in values):
            self.answer(fact, why, gpu=gpu, turn=turn)
        else:
            emit(fact=fact, gpu=gpu, value=values)

    # --- the base depth

    def system(self) -> int:
        """Facts of the driver; the number of GPUs."""
        self.ask("driver_version", "nvmlSystemGetDriverVersion", turn=text)
        self.ask("nvml_version", "nvmlSystemGetNVMLVersion", turn=text)
        self.ask("cuda_driver_version", "nvmlSystemGetCudaDriverVersion_v2")
        count = self.ask("count", "nvmlDeviceGetCount")
        return count if isinstance(count, int) else 0

    def device(self, gpu: int) -> None:
        """Facts of one GPU, those that identify it first."""
        handle = self.ask("handle", "nvmlDeviceGetHandleByIndex", gpu, gpu=gpu, turn=lambda _: True)
        if handle is None:
            return
        self.handles[gpu] = handle
        self.ask("uuid", "nvmlDeviceGetUUID", handle, gpu=gpu, turn=text)
        pci = self.ask("pci_bus_id", "nvmlDeviceGetPciInfo", handle, gpu=gpu, turn=lambda info: text(info.busId))
        if pci is not None:
            # NVML gives device id and vendor id in one number: 0x20b210de
            emit(fact="pci_device_id", gpu=gpu, value=pci.pciDeviceId)
        self.ask("name", "nvmlDeviceGetName", handle, gpu=gpu, turn=text)
        self.ask("compute_capability", "nvmlDeviceGetCudaComputeCapability", handle, gpu=gpu, turn=list)
        self.ask("memory_bytes", "nvmlDeviceGetMemoryInfo", handle, gpu=gpu, turn=lambda memory: memory.total)
        modes = self.ask("mig_mode", "nvmlDeviceGetMigMode", handle, gpu=gpu, turn=lambda modes: modes[0])
        if modes is not None:
            emit(fact="mig_pending", gpu=gpu, value=modes[1])
            if modes[0] == 1:
                self.split.append(gpu)
                self.mig_instances(handle, gpu)
        self.ask("compute_mode", "nvmlDeviceGetComputeMode", handle, gpu=gpu)
        self.ask("persistence_mode", "nvmlDeviceGetPersistenceMode", handle, gpu=gpu)
        emit(fact="end", gpu=gpu, value=True)

    def mig_instances(self, handle: Any, gpu: int) -> None:
        """How many MIG devices exist: CUDA sees these and not the GPU."""
        most = self.ask("mig_most", "nvmlDeviceGetMaxMigDeviceCount", handle, gpu=gpu)
        if most is None:
            return
        try:
            found = sum(self.has_mig_device(handle, place) for place in range(min(most, _LARGEST_COUNT)))
            emit(fact="mig_instances", gpu=gpu, value=found)
        except Exception as err:  # noqa: BLE001 -- the NVML error classes are known only through the module
            emit(fact="mig_instances", gpu=gpu, code=getattr(err, "value", None), failure=str(err))

    def has_mig_device(self, handle: Any, place: int) -> bool:
        """Whether that place of a GPU holds a MIG device."""
        emit(at="nvmlDeviceGetMigDeviceHandleByIndex", gpu=None)
        try:
            self.pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except self.pynvml.NVMLError as err:
            if err.value == _NOT_FOUND:
                return False
            raise
        return True


class Missing(Exception):  # noqa: N818 -- an answer, and never raised
    """What nvidia-ml-py would raise for a function that the library lacks."""

    value = 13


def words(err: Exception) -> str:
    """A sentence, with the class of an error that is not NVML's."""
    return str(err) if hasattr(err, "value") or type(err) is ValueError else f"{type(err).__name__}: {err}"


def text(answer: Any) -> Any:
    """Older nvidia-ml-py answers bytes."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def main(folder: str, depth: str = "base") -> None:
    """Start NVML, ask, and say when everything was asked."""
    emit(at="import pynvml", gpu=None)
    sys.path.append(folder)  # last: the process runs without site-packages, and nothing there may stand in for another
    try:
        import pynvml
    except Exception as err:  # noqa: BLE001 -- whatever is wrong with the module, the parent wants to know
        emit(fact="import", gpu=None, code=None, failure=f"{type(err).__name__}: {err}")
        return
    probe = Probe(pynvml)
    started = time.monotonic()
    if probe.ask("init", "nvmlInit", turn=lambda _: True) is None:
        return
    for gpu in range(min(probe.system(), _LARGEST_COUNT)):
        probe.device(gpu)
    if depth == "health":
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 -- pathlib is slow to import
        import nvml_health  # type: ignore[import-not-found]

        nvml_health.read(probe, probe.handles, probe.split)
    emit(fact="sweep_s", gpu=None, value=round(time.monotonic() - started, 4))
    emit(fact="end", gpu=None, value=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
    flush()
    os._exit(0)  # no shutdown of the library: one more call that could hang
