"""Entry point: `gpusetup ...` and `python -m provision ...`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # the one answer that needs nothing else to be imported
        from . import __version__

        sys.stdout.write(f"gpusetup {__version__}\n")
        raise SystemExit(0)
    try:
        from .cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules were still being imported; `run` words every other one
        sys.stderr.write("interrupted\n")
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
