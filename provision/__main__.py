"""Entry point: `gpusetup ...` and `python -m provision ...`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from .console import open_missing_streams

        open_missing_streams()
    if sys.argv[1:] == ["--version"]:  # the one answer that needs nothing else to be imported
        from . import __version__

        try:
            sys.stdout.write(f"gpusetup {__version__}\n")
            sys.stdout.flush()
        except OSError:
            pass  # the command line below words it
        else:
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
