"""Asks libcuda, in a process of its own that may crash or hang: `python cuda_probe.py init`, or `... context <index>`.

Standard library only; it imports nothing of this package. Every line it writes is one JSON object, written at once, so
that what was learned before a crash or a hang is kept:

    {"at": "cuInit", "gpu": null}                                              about to call
    {"fact": "count", "gpu": null, "value": 8}                                 it answered
    {"fact": "init", "gpu": null, "code": 802, "failure": "CUDA_ERROR_SYSTEM_NOT_READY"}    it did not
    {"fact": "end", "gpu": null, "value": true}                                everything was asked

`init` makes no context: it takes no memory of a GPU and disturbs nobody. `context` makes one on one GPU, writes 1 MiB
there, reads it back and lets go of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time

TYPE_CHECKING = False  # the module typing is not worth its import time here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LIBRARY = "libcuda.so.1"
_LARGEST_COUNT = 256  # a library that claims more GPUs than that is not believed
_NAME_BYTES = 256
_MIB = 1024 * 1024
_PATTERN = 0xA5
# CUdevice_attribute (cuda.h)
_ATTRIBUTES = {"kernel_timeout": 17, "compute_mode": 20, "capability_major": 75, "capability_minor": 76}


def emit(**line: Any) -> None:
    """Write one line at once: a buffered one would be lost in a crash."""
    os.write(1, (json.dumps(line) + "\n").encode())


class Probe:
    """One call of libcuda at a time, each either a value or a failure."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def ask(
        self, fact: str, function: str, *arguments: Any, gpu: int | None = None, turn: Callable[[], Any] = lambda: True
    ) -> Any:
        """What `turn` makes of a call that succeeded, else None; a line is written either way."""
        emit(at=function, gpu=gpu)
        try:
            call = getattr(self.library, function)
        except AttributeError:
            emit(fact=fact, gpu=gpu, code=None, failure=f"this libcuda has no {function}")
            return None
        code = call(*arguments)
        if code != 0:
            emit(fact=fact, gpu=gpu, code=code, failure=self.error_name(code))
            return None
        value = turn()
        emit(fact=fact, gpu=gpu, value=value)
        return value

    def error_name(self, code: int) -> str:
        """CUDA_ERROR_NO_DEVICE, from the library itself; it knows the names without being started."""
        name = ctypes.c_char_p()
        try:
            known = self.library.cuGetErrorName(code, ctypes.byref(name)) == 0
        except AttributeError:
            known = False
        return name.value.decode("ascii", "replace") if known and name.value else f"CUDA error {code}"

    def number(self, fact: str, function: str, *arguments: Any, gpu: int | None = None) -> int | None:
        """The answer of a function whose first argument is a pointer to an int."""
        found = ctypes.c_int()
        answer: int | None = self.ask(
            fact, function, ctypes.byref(found), *arguments, gpu=gpu, turn=lambda: found.value
        )
        return answer

    def device(self, gpu: int) -> None:
        """What identifies one device, as CUDA numbers them."""
        handle = self.number("handle", "cuDeviceGet", gpu, gpu=gpu)
        if handle is None:
            return
        self.text("name", "cuDeviceGetName", handle, gpu=gpu)
        self.bus_id(handle, gpu)
        self.uuid(handle, gpu)
        for fact, attribute in _ATTRIBUTES.items():
            self.number(fact, "cuDeviceGetAttribute", attribute, handle, gpu=gpu)
        emit(fact="end", gpu=gpu, value=True)

    def text(self, fact: str, function: str, handle: int, *, gpu: int) -> None:
        """The answer of a function that fills a buffer."""
        room = ctypes.create_string_buffer(_NAME_BYTES)
        self.ask(fact, function, room, _NAME_BYTES, handle, gpu=gpu, turn=lambda: room.value.decode("utf-8", "replace"))

    def bus_id(self, handle: int, gpu: int) -> None:
        """0000:3b:00.0; buffer first here too."""
        self.text("pci_bus_id", "cuDeviceGetPCIBusId", handle, gpu=gpu)

    def uuid(self, handle: int, gpu: int) -> None:
        """As UUIDs are written, so that a snapshot can be cleaned of them; `_v2` knows MIG instances."""
        room = (ctypes.c_ubyte * 16)()
        newest = "cuDeviceGetUuid_v2" if hasattr(self.library, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid"
        self.ask("uuid", newest, room, handle, gpu=gpu, turn=lambda: _uuid_text(bytes(room).hex()))


def _uuid_text(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def load() -> Probe | None:
    """The library with what it is, or None; the loader's own sentence says why."""
    emit(at="dlopen", gpu=None)
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as err:
        emit(fact="library", gpu=None, code=None, failure=str(err))
        return None
    emit(fact="library", gpu=None, value=_mapped())
    return Probe(library)


def _mapped() -> str | None:
    """Path of the file that was loaded, links resolved, as the kernel has it."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123 -- no import for it
        for line in maps:
            place = line.find("/")
            if place > 0 and os.path.basename(line[place:].strip()).startswith("libcuda.so"):  # noqa: PTH119
                return line[place:].strip()
    return None


def start(probe: Probe) -> bool:
    """Whether cuInit succeeded; how long it took is a fact of its own."""
    started = time.monotonic()
    done = probe.ask("init", "cuInit", 0)
    emit(fact="init_s", gpu=None, value=round(time.monotonic() - started, 4))
    return done is not None


def look() -> None:
    """Everything that can be learned without a context."""
    probe = load()
    if probe is None:
        return
    probe.number("driver_version", "cuDriverGetVersion")
    if start(probe):
        for gpu in range(min(probe.number("count", "cuDeviceGetCount") or 0, _LARGEST_COUNT)):
            probe.device(gpu)
    emit(fact="end", gpu=None, value=True)


def try_out(gpu: int) -> None:
    """Make a context on one GPU, write there, read back, let go."""
    probe = load()
    if probe is None or not start(probe):
        return
    handle = probe.number("handle", "cuDeviceGet", gpu, gpu=gpu)
    context = ctypes.c_void_p()
    started = time.monotonic()
    if handle is None or not probe.ask("context", "cuDevicePrimaryCtxRetain", ctypes.byref(context), handle, gpu=gpu):
        return
    if probe.ask("current", "cuCtxSetCurrent", context, gpu=gpu):
        emit(fact="context_s", gpu=gpu, value=round(time.monotonic() - started, 4))
        _write_and_read(probe, gpu)
    probe.ask("released", "cuDevicePrimaryCtxRelease_v2", handle, gpu=gpu)
    emit(fact="seconds", gpu=gpu, value=round(time.monotonic() - started, 4))
    emit(fact="end", gpu=None, value=True)


def _write_and_read(probe: Probe, gpu: int) -> None:
    place = ctypes.c_uint64()
    if not probe.ask("allocated", "cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(_MIB), gpu=gpu):
        return
    room = ctypes.create_string_buffer(_MIB)
    size = ctypes.c_size_t(_MIB)
    if probe.ask("written", "cuMemsetD8_v2", place, ctypes.c_ubyte(_PATTERN), size, gpu=gpu) and probe.ask(
        "read", "cuMemcpyDtoH_v2", room, place, size, gpu=gpu
    ):
        emit(fact="equal", gpu=gpu, value=room.raw == bytes([_PATTERN]) * _MIB)
    probe.ask("freed", "cuMemFree_v2", place, gpu=gpu)


if __name__ == "__main__":
    if sys.argv[1] == "context":
        try_out(int(sys.argv[2]))
    else:
        look()
    os._exit(0)  # no shutdown of the library: one more call that could hang
