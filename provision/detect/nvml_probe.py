"""Asks NVML everything, in a process of its own that may crash or hang: `python nvml_probe.py <folder of pynvml>`.

Standard library and pynvml only; it imports nothing of this package. Every line it writes is one JSON object, written
at once, so that what was learned before a crash or a hang is kept:

    {"at": "nvmlDeviceGetName", "gpu": 0}                                     about to call
    {"fact": "name", "gpu": 0, "value": "NVIDIA A100-SXM4-80GB"}              it answered
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


def emit(**line: Any) -> None:
    """Write one line at once: a buffered one would be lost in a crash."""
    os.write(1, (json.dumps(line) + "\n").encode())


class Probe:
    """One NVML call at a time, each either a value or a failure."""

    def __init__(self, pynvml: Any) -> None:
        self.pynvml = pynvml

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
        try:
            self.pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except self.pynvml.NVMLError as err:
            if err.value == _NOT_FOUND:
                return False
            raise
        return True


def text(answer: Any) -> Any:
    """Older nvidia-ml-py answers bytes."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def main(folder: str) -> None:
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
    emit(fact="sweep_s", gpu=None, value=round(time.monotonic() - started, 4))
    emit(fact="end", gpu=None, value=True)


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # no shutdown of the library: one more call that could hang
