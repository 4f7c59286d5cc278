"""python -IS guard.py PARENT COMMAND...: becomes the command, which the kernel kills when the parent is gone.

Without it a killed gpusetup would leave its installer writing into a folder that the next run removes. A script and
an exec rather than code between fork and exec, which may deadlock in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent, then become the command."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != int(parent):  # it went before the call above
        sys.exit(128 + signal.SIGKILL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as err:
        sys.exit(f"{command[0]} cannot be started: {err.strerror}")


if __name__ == "__main__":
    main()
