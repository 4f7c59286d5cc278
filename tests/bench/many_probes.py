"""Runs the NVML probe many times: every run is forked from one process that has imported everything already.

`python many_probes.py FOLDER_OF_PYNVML` with LD_LIBRARY_PATH at the fake library. Every line of stdin holds
`{"silence_s": 1, "jobs": 2, "cases": [[name, text of the box's file], ...]}`; every run is answered by one line
`{"name", "stdout", "returncode", "timed_out", "duration_s"}`.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import sys
import tempfile
import time
from pathlib import Path

PROBE = Path(__file__).resolve().parent.parent.parent / "provision" / "detect"


def start(conf: Path, folder: str) -> tuple[int, int]:
    """The process number of one probe and the pipe that it writes into."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.dup2(writing, 1)
        os.environ["FAKE_NVML_CONF"] = str(conf)
        import nvml_probe

        nvml_probe.main(folder, "health")
        nvml_probe.flush()
        os._exit(0)
    except BaseException as err:  # noqa: BLE001 -- a traceback of the probe is what the tests look for
        os.write(2, f"{type(err).__name__}: {err}\n".encode())
        os._exit(3)


def answer(name: str, child: int, output: bytes, started: float, *, timed_out: bool) -> None:
    """Collect the process and write the line about it."""
    if timed_out:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    line = {
        "name": name,
        "stdout": output.decode("utf-8", "replace"),
        "returncode": os.waitstatus_to_exitcode(status),
        "timed_out": timed_out,
        "duration_s": round(time.monotonic() - started, 3),
    }
    print(json.dumps(line), flush=True)


def run(work: dict, folder: str, where: Path) -> None:
    """All cases, `jobs` of them at a time."""
    waiting = list(enumerate(work["cases"]))[::-1]
    selector = selectors.DefaultSelector()
    running: dict[int, list] = {}
    while waiting or running:
        while waiting and len(running) < work["jobs"]:
            number, (name, text) = waiting.pop()
            conf = where / f"{number}.conf"
            conf.write_text(text, encoding="utf-8")
            child, pipe = start(conf, folder)
            selector.register(pipe, selectors.EVENT_READ)
            running[pipe] = [name, child, b"", time.monotonic(), time.monotonic()]
        for key, _ in selector.select(0.05):
            chunk = os.read(key.fd, 65536)
            running[key.fd][2] += chunk
            running[key.fd][4] = time.monotonic()
            if not chunk:
                name, child, output, started, _ = running.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                answer(name, child, output, started, timed_out=False)
        for pipe, (name, child, output, started, heard) in list(running.items()):
            if time.monotonic() - heard > work["silence_s"]:
                del running[pipe]
                selector.unregister(pipe)
                os.close(pipe)
                answer(name, child, output, started, timed_out=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path += [sys.argv[1], str(PROBE)]
    import nvml_health  # noqa: F401 -- before the first fork
    import nvml_probe  # noqa: F401
    import pynvml  # noqa: F401

    with tempfile.TemporaryDirectory() as boxes:
        for line in sys.stdin:
            run(json.loads(line), sys.argv[1], Path(boxes))
