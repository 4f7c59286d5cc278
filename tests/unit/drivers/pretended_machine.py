"""A machine in a folder: files under a root, and package managers that are shell scripts on PATH.

`apt-get`, `apt-mark`, `dpkg`, `modprobe`, `nvidia-smi` and `systemctl` write down how they were called and keep what is
installed as empty files. Files named `fail-WORD`, `slow-WORD` and `removes` in the folder change what they do.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from provision.drivers.hand import MachineHand

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = r"""#!/bin/sh
state=@STATE@
name=${0##*/}
words=
names=
skip=
for word in "$@"; do
  if [ -n "$skip" ]; then skip=; continue; fi
  case $word in
    -o) skip=1 ;;
    -s) is_rehearsal=1 ;;
    -*) ;;
    *) if [ -z "$words" ]; then words=$word; else names="$names $word"; fi ;;
  esac
done
if [ -n "$is_rehearsal" ]; then
  [ -e "$state/removes" ] && sed 's/^/Remv /; s/$/ [1.0]/' "$state/removes"
  exit 0
fi
echo "$name $words$names" >> "$state/calls"
echo "$name says: $words$names"
if [ -e "$state/slow-$words" ]; then sleep "$(cat "$state/slow-$words")"; fi
if [ -e "$state/fail-$words" ]; then echo "E: $words went wrong" >&2; exit 100; fi
case $name-$words in
  apt-get-install) for one in $names; do : > "$state/installed/$one"; echo "$one" >> "$state/unpacked"; done ;;
  apt-get-remove) for one in $names; do rm -f "$state/installed/$one"; done ;;
  apt-mark-hold) for one in $names; do : > "$state/held/$one"; done ;;
  apt-mark-unhold) for one in $names; do rm -f "$state/held/$one"; done ;;
esac
echo "$name ended: $words" >> "$state/ended"
"""

#: Says whether a package is installed, as a proof asks.
ASKING = """#!/bin/sh
[ -e "@STATE@/installed/$1" ] && echo "$1 installed"
"""

MANAGERS = ("apt-get", "apt-mark", "dpkg", "modprobe", "nvidia-smi", "systemctl", "update-initramfs")


class PretendedMachine:
    """The folders, and a hand for them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.state = folder / "state"
        self.programs = folder / "bin"
        self.keys: dict[str, bytes] = {}
        for place in (self.root, self.programs, self.state / "installed", self.state / "held"):
            place.mkdir(parents=True)
        for name in MANAGERS:
            self._program(name, SCRIPT)
        self._program("is-installed", ASKING)
        for name in ("cat", "rm", "sed", "sleep"):  # nothing else: a real package manager must never be found
            (self.programs / name).symlink_to(shutil.which(name) or "/missing")
        self.boot("boot-1")

    def _program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text.replace("@STATE@", str(self.state)))
        path.chmod(0o755)

    def boot(self, boot_id: str) -> None:
        """Start the machine again."""
        self.put("/proc/sys/kernel/random/boot_id", f"{boot_id}\n")

    def put(self, path: str, text: str, mode: int = 0o644) -> Path:
        """A file of the machine."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return place

    def say(self, name: str, text: str = "") -> None:
        """Change what the programs do."""
        (self.state / name).write_text(text)

    def forget(self, name: str) -> None:
        """Take back what `say` changed."""
        (self.state / name).unlink()

    def calls(self) -> list[str]:
        """Every command that was to change the machine, in order."""
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def unpacked(self) -> list[str]:
        """Every package that was unpacked, in order; twice where it was unpacked twice."""
        path = self.state / "unpacked"
        return path.read_text().splitlines() if path.exists() else []

    def installed(self) -> list[str]:
        return sorted(path.name for path in (self.state / "installed").iterdir())

    def tree(self) -> dict[str, tuple[int, bytes | str]]:
        """Every file and link with its mode and content."""
        return {
            str(path.relative_to(self.root)): (
                path.lstat().st_mode,
                str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.root.rglob("*"))
        }

    def fetch(self, url: str) -> bytes:
        if url not in self.keys:
            raise OSError(None, "HTTP 404 Not Found")
        return self.keys[url]

    def hand(self) -> MachineHand:
        environ = {"PATH": str(self.programs), "HOME": str(self.state)}
        return MachineHand(self.fetch, root=self.root, environ=environ)
