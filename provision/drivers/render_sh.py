"""A driver plan as a shell script that may be run again (PURE).

What is done already is passed over, what must hold before is asked first, and the first failure ends it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .steps import FetchKey, Packages, Reboot, RemoveFile, Run, WriteFile
from .words import PRIMARY_FINGERPRINTS, SHOW_KEYS, line, packages_argv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .plan import DriverPlan
    from .steps import Action, Proof, Step

_HEAD = """\
#!/bin/sh
# {what}
#
# Written by: gpusetup driver plan --format sh. Run it as root. It may be run again: what is done is passed over.
# shellcheck disable=SC2016  # what stands in single quotes is for other programs
set -eu
LC_ALL=C
DEBIAN_FRONTEND=noninteractive
export LC_ALL DEBIAN_FRONTEND

say() {{ printf '%s\\n' "$*" >&2; }}
stop() {{
    say "stopped: $*"
    exit 1
}}
[ "$(id -u)" -eq 0 ] || stop 'this has to be run as root'
"""
_HOLDS = """
# holds COMMAND...: whether it ends well
holds() { "$@" >/dev/null 2>&1; }
"""
_SAYS = """
# says PATTERN COMMAND...: whether what it says fits the pattern
says() {
    pattern=$1
    shift
    "$@" 2>/dev/null | grep -Pzq -- "$pattern"
}
"""
_FETCH = f"""
# fetch_key ADDRESS FILE FINGERPRINT: a key, put in its place when it is that one and no other beside it
fetch_key() {{
    folder=$(mktemp -d)
    curl -fsSL --proto '=https' "$1" -o "$folder/key"
    GNUPGHOME=$folder
    export GNUPGHOME
    found=$({SHOW_KEYS} "$folder/key" | {PRIMARY_FINGERPRINTS})
    [ "$found" = "$3" ] || stop "the key of $1 has fingerprint $found, not $3: nothing trusts it"
    mkdir -p "$(dirname "$2")"
    case $2 in
        *.gpg) gpg --batch --yes --dearmor -o "$2" "$folder/key" ;;
        *) cp "$folder/key" "$2" ;;
    esac
    chmod 644 "$2"
    rm -r "$folder"
    unset GNUPGHOME
}}
"""
_WRITE = """
# write_file FILE MODE: what comes on standard input
write_file() {
    mkdir -p "$(dirname "$1")"
    cat >"$1.new"
    chmod "$2" "$1.new"
    mv "$1.new" "$1"
}
"""
_END = "GPUSETUP_END"


def render_sh(plan: DriverPlan, *, with_reboot: bool = True) -> str:
    """The script; without its restart for somebody who restarts the machine himself."""
    steps = [step for step in plan.steps if with_reboot or not _restarts(step)]
    what = f"{plan.distribution}: NVIDIA driver branch {plan.branch}, {plan.kernel_module} kernel module"
    body = "\n".join(text for step in steps for text in _step(step))
    parts = [_HEAD.format(what=what)]
    # Functions that nothing calls would only be read in vain.
    parts += [text for name, text in _FUNCTIONS if f"{name} " in body]
    end = "say 'nothing to do'" if not steps else "say 'done'"
    return "".join(parts) + "\n" + (body + "\n" if body else "") + end + "\n"


_FUNCTIONS = (("holds", _HOLDS), ("says", _SAYS), ("fetch_key", _FETCH), ("write_file", _WRITE))


def _restarts(step: Step) -> bool:
    return any(isinstance(action, Reboot) for action in step.actions)


def _step(step: Step) -> Iterator[str]:
    yield f"# --- {step.id}: {step.why}"
    body = [*(_need(step, proof) for proof in step.needs), *_actions(step.actions)]
    if not step.done_when:
        yield from (f"say {shlex.quote(step.id)}", *body, "")
        return
    yield f"if {_all(step.done_when)}; then"
    yield f"    say {shlex.quote(f'{step.id}: done already')}"
    yield "else"
    yield f"    say {shlex.quote(step.id)}"
    for text in body:
        # The text of a file keeps its lines as they are, up to the word that ends it.
        first, *rest = text.split("\n")
        yield "\n".join([f"    {first}", *rest])
    yield "fi\n"


def _all(proofs: Iterable[Proof]) -> str:
    return " && ".join(map(_asked, proofs))


def _asked(proof: Proof) -> str:
    if proof.matches is None:
        return f"holds {line(proof.argv)}"
    return f"says {shlex.quote(proof.matches)} {line(proof.argv)}"


def _need(step: Step, proof: Proof) -> str:
    said = f"{step.id} needs: {proof.means}" + (f" ({proof.do})" if proof.do else "")
    return f"{_asked(proof)} || stop {shlex.quote(said)}"


def _actions(actions: Iterable[Action]) -> Iterator[str]:
    for action in actions:
        if isinstance(action, Packages):
            yield line(packages_argv(action))
        elif isinstance(action, WriteFile):
            text = action.text if action.text.endswith("\n") else action.text + "\n"
            yield f"write_file {shlex.quote(action.path)} {action.mode:o} <<'{_END}'\n{text}{_END}"
        elif isinstance(action, RemoveFile):
            yield line(("rm", "-f", action.path))
        elif isinstance(action, FetchKey):
            yield line(("fetch_key", action.url, action.path, action.fingerprint))
        elif isinstance(action, Run):
            if action.asks:
                said = f"the next command asks for {action.asks}: a terminal is needed"
                yield f"[ -t 0 ] || stop {shlex.quote(said)}"
            yield line(action.argv)
        else:
            yield "say 'the machine starts again'"
            yield "reboot"
