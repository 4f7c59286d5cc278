#!/bin/sh
# gpusetup out of this bundle: makes its own environment once, in the cache of whoever starts it, then passes
# everything on. Nothing is written into the bundle and no network is used. Needs a Python from 3.10 on with venv.
# shellcheck disable=SC2015
set -u

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 5

fail() {
    printf '%s\n' "$@" >&2
    exit 5
}

unset PYTHONPATH PYTHONHOME
machine=$(uname -m)
python='' seen=''
for candidate in ${GPUSETUP_PYTHON:+"$GPUSETUP_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    # Prints 3.11, or nothing for a free-threaded Python, another implementation or one without venv.
    minor=$("$candidate" -I -c '
import sys, sysconfig, venv
if sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d" % sys.version_info[:2])
' 2>/dev/null) && [ -n "$minor" ] || continue
    seen="$seen $minor"
    if [ -r "$root/tool/requirements-$minor-$machine.txt" ]; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    there=$(cd "$root/tool" && for file in requirements-*.txt; do name=${file#requirements-} && printf ' %s' "${name%.txt}"; done)
    fail "gpusetup cannot be started from this bundle: none of the Pythons here is one that it was made for." \
        "found  ${seen:- none} on $machine" "needs  $there" \
        'do   install one of these with its venv module (Debian, Ubuntu: apt-get install python3-venv)' \
        'or   GPUSETUP_PYTHON=/path/to/python3 sh gpusetup ...' \
        'or   make the bundle for this Python: gpusetup bundle create --host-python X.Y'
fi

list=$root/tool/requirements-$minor-$machine.txt
case ${XDG_CACHE_HOME:-} in
    /*) cache=$XDG_CACHE_HOME ;;
    *) [ -n "${HOME:-}" ] || fail 'gpusetup needs a folder for its own environment, and HOME is not set.' \
            'do   XDG_CACHE_HOME=/a/folder/of/yours sh gpusetup ...'
        cache=$HOME/.cache ;;
esac
# The name says what it is made of and by which Python; a system upgrade makes another one.
base=$("$python" -I -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)' | cksum) || exit 5
sum=$(cksum <"$list") || exit 5
env=$cache/gpusetup/bundle-${sum%% *}-${base%% *}

if ! "$env/bin/python" -I -c 'import provision' 2>/dev/null; then
    printf '%s\n' "gpusetup: making its own environment in $env (once)" >&2
    build=$env.$$
    for leftover in "$env".[0-9]*; do  # of starts that were killed; in containers the numbers recur
        pid=${leftover#"$env".}
        if [ "$pid" = "$$" ] || ! kill -0 "$pid" 2>/dev/null; then rm -rf "$leftover"; fi
    done
    trap 'rm -rf "$build"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p "$cache/gpusetup" 2>/dev/null && [ -w "$cache/gpusetup" ] \
        || fail "gpusetup: $cache/gpusetup cannot be written to." 'do   XDG_CACHE_HOME=/a/folder/of/yours sh gpusetup ...'
    pip=$(sed -n 's/^# pip: //p' "$list")
    for name in $(env | sed -n 's/^\(PIP_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
    export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
    # Without ensurepip, which some distributions split off: pip comes with the bundle and runs from its wheel.
    "$python" -I -m venv --without-pip "$build" >&2 \
        && "$build/bin/python" -I "$root/tool/$pip/pip" install --quiet --no-deps --require-hashes \
            --only-binary :all: --no-compile --find-links "$root/tool" -r "$list" >&2 \
        || fail "gpusetup: its own environment could not be made out of $root/tool." \
            'do   compare the bundle with the one that was made: its files may be damaged'
    # One of several starts at once wins; the others take what it made.
    "$python" -I -c '
import os, shutil, sys
build, env = sys.argv[1:]
for attempt in range(2):
    try:
        os.rename(build, env)
        break
    except OSError:
        if os.path.exists(os.path.join(env, "bin", "gpusetup")):
            break
        shutil.rmtree(env, ignore_errors=True)
' "$build" "$env"
    rm -rf "$build"
    trap - EXIT INT TERM
fi
exec "$env/bin/python" -I -m provision "$@"
