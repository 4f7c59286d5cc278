# shellcheck shell=sh disable=SC2154,SC2034 # root comes from the sourcing script, env_python goes to it
# Sourced by ./gpusetup and ./run-tests, which set $root: makes the project's own environment once, atomically.
# POSIX sh. Call: make_environment NAME EXTRAS; leaves its Python in $env_python.
#
# The environment is built under a temporary name and renamed when it is whole, so that an interrupted start
# never leaves half of one. made-in inside says where and from what it was made.

fail() {
    printf '%s\n' "$@" >&2
    exit 5
}

find_python() {
    # The first Python that is new enough wins; GPUSETUP_PYTHON overrides.
    for candidate in ${GPUSETUP_PYTHON:+"$GPUSETUP_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    fail 'gpusetup needs Python 3.10 or newer, and found none on PATH.' \
        'do   apt-get install -y python3 python3-venv      (Debian, Ubuntu)' \
        'or   GPUSETUP_PYTHON=/path/to/python3 ./gpusetup ...'
}

# Whether the environment $1 was made here (a clone that was moved has stale paths), by a Python that is still the
# same (a system upgrade replaces it), from this pyproject.toml. Every start asks: one process, and no Python.
is_current() {
    [ -r "$1/made-in" ] || return 1
    { IFS= read -r made_root && IFS= read -r made_base && IFS= read -r made_lib && IFS= read -r made_sum; } <"$1/made-in" \
        || return 1
    # shellcheck disable=SC3013 # dash, bash and busybox all have -ef
    [ "$made_root" = "$root" ] && [ -x "$1/bin/python" ] && [ "$1/bin/python" -ef "$made_base" ] \
        && [ -d "$1/lib/$made_lib" ] && [ "$made_sum" = "$(cksum <"$root/pyproject.toml")" ]
}

# Distributions that split ensurepip off still carry venv; then a pip or uv that is already there fills it.
# -I: neither the folder one stands in nor PYTHONPATH may put another module in front.
fill_environment() {
    build=$1 python=$2 project=$3
    # Settings that would put packages elsewhere, or count some from elsewhere as installed.
    unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIRE_VIRTUALENV PIP_NO_DEPS PIP_DRY_RUN PYTHONPATH PYTHONHOME
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1
    if "$python" -I -c 'import ensurepip' 2>/dev/null; then
        "$python" -I -m venv "$build" && "$build/bin/python" -I -m pip install -qq --editable "$project"
    elif "$python" -I -m pip --python "$python" --version >/dev/null 2>&1; then  # pip 22.3 or newer
        "$python" -I -m venv --without-pip "$build" \
            && "$python" -I -m pip --python "$build/bin/python" install -qq --editable "$project"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" "$build" && uv pip install --quiet --python "$build/bin/python" --editable "$project"
    else
        fail "$("$python" -I -c 'import sys; print(sys.executable)') has neither ensurepip nor pip 22.3 or newer, and there is no uv." \
            'do   apt-get install -y python3-venv      (Debian, Ubuntu)' \
            'or   put uv on PATH'
    fi
}

# Scripts, activate and pyvenv.cfg carry the name that the environment was built under; only the last part of the
# path is rewritten, as the rest may stand there quoted. Then made-in is written, which makes it whole.
finish_environment() {
    "$1/bin/python" -I -c '
import os, pathlib, sys, sysconfig
build, final, root, checksum = sys.argv[1:]
build = pathlib.Path(build)
for file in [*(build / "bin").iterdir(), build / "pyvenv.cfg"]:
    content = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
    if build.name.encode() in content and b"\0" not in content:
        file.write_bytes(content.replace(build.name.encode(), os.path.basename(final).encode()))
library = os.path.basename(os.path.dirname(sysconfig.get_path("purelib")))
made_in = root, os.path.realpath(sys.executable), library, checksum
(build / "made-in").write_bytes(os.fsencode("\n".join(made_in) + "\n"))
' "$1" "$2" "$root" "$3"
}

# The lock is descriptor 9: the kernel releases it with its holder, so no start meets a stale one. By Python, since
# flock(1) may be missing. The holder removes the file, so a file that is no longer there is no lock.
lock_environment() {
    exec 9<>"$1.lock"
    until "$2" -I -c '
import fcntl, os, sys
try:
    fcntl.flock(0, fcntl.LOCK_EX)
except OSError:
    sys.exit(0)  # a file system without locks: the renaming alone has to do
sys.exit(not os.path.samestat(os.fstat(0), os.stat(sys.argv[1])))
' "$1.lock" <&9 2>/dev/null; do
        exec 9<>"$1.lock"
    done
    locked=$1.lock
}

# What killed starts left behind, and replaced environments, in which a process may have been running until now.
# One with our own number is of an earlier process: in containers the numbers recur.
remove_leftovers() {
    for leftover in "$1".[0-9]* "$1".old.[0-9]*; do
        pid=${leftover#"$1".} pid=${pid#old.} pid=${pid%.log}
        if [ "$pid" = "$$" ] || ! kill -0 "$pid" 2>/dev/null; then rm -rf "$leftover"; fi
    done
}

make_environment() {
    env=$root/$1 extras=$2
    if ! is_current "$env" && ! [ -w "$root" ]; then
        # Another user's clone, or a read-only disk.
        place=$(printf '%s' "$root" | cksum)
        place=${XDG_CACHE_HOME:-${HOME:-}/.cache}/gpusetup/${place%% *}
        env=$place/$1
        if ! mkdir -p "$place" 2>/dev/null || ! [ -w "$place" ]; then
            fail "gpusetup: its own environment can be made neither in $root nor in $place: neither can be written to." \
                'do   XDG_CACHE_HOME=/a/folder/of/yours ./gpusetup ...' \
                'or   clone it to a folder of yours'
        fi
    fi
    env_python=$env/bin/python
    if is_current "$env"; then
        return 0
    fi
    python=$(find_python) || exit $?
    printf '%s\n' "gpusetup: making its own environment in ${env#"$root/"} (once)" >&2
    build=$env.$$ locked=
    trap 'rm -rf "$build" "$build.log" ${locked:+"$locked"}' EXIT
    trap 'printf "%s\n" "interrupted" >&2; exit 130' INT
    trap 'exit 129' HUP
    trap 'exit 143' TERM
    lock_environment "$env" "$python"
    if ! is_current "$env"; then  # no other start made it meanwhile
        replace_environment
    fi
    rm -f "$locked"
    exec 9>&-
    trap - EXIT HUP INT TERM
}

replace_environment() {
    remove_leftovers "$env"
    sum=$(cksum <"$root/pyproject.toml")
    # What the tools say is shown when they fail, not when somebody stopped them.
    if ! (
        fill_environment "$build" "$python" "$root${extras:+[$extras]}" && finish_environment "$build" "$env" "$sum"
    ) </dev/null >"$build.log" 2>&1; then
        cat "$build.log" >&2
        fail 'gpusetup: its own environment could not be made; the lines above say why. Nothing was left behind.'
    fi
    # A process may be running in the one that is replaced: it is kept until the next is made.
    if [ -e "$env" ] || [ -L "$env" ]; then mv "$env" "$env.old.$$"; fi
    # Where locks do not work another start may have been faster; its environment is as good as ours.
    mv -T "$build" "$env" 2>/dev/null || is_current "$env" || fail "gpusetup: $env could not be put in place."
    rm -rf "$build" "$build.log"
}
