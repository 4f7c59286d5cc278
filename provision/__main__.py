"""Entry point: `gpusetup ...` and `python -m provision ...`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # the one answer that needs nothing else to be imported
        from . import __version__

        sys.stdout.write(f"gpusetup {__version__}\n")
        raise SystemExit(0)
    from .cli import run

    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
