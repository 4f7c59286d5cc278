# Sourced by ./gpusetup and ./run-tests: makes the project's own environment once, atomically.
# POSIX sh. Call: make_environment FOLDER EXTRAS; leaves its Python in $env_python.
#
# The environment is built under a temporary name and renamed when it is whole, so that an interrupted or
# a second concurrent start never meets half of one. A copy of pyproject.toml inside says what it was made from.

fail() {
    printf '%s\n' "$@" >&2
    exit 5
}

find_python() {
    # The first Python that is new enough wins; GPUSETUP_PYTHON overrides.
    for candidate in ${GPUSETUP_PYTHON:+"$GPUSETUP_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    fail 'gpusetup needs Python 3.10 or newer, and found none on PATH.' \
        'do   apt-get install -y python3 python3-venv      (Debian, Ubuntu)' \
        'or   GPUSETUP_PYTHON=/path/to/python3 ./gpusetup ...'
}

# Distributions that split ensurepip off still carry venv; then a pip or uv that is already there fills it.
fill_environment() {
    build=$1 extras=$2 python=$3
    project="$root${extras:+[$extras]}"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$build" && "$build/bin/python" -m pip install -qq --disable-pip-version-check --editable "$project"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$build" \
            && "$python" -m pip --python "$build/bin/python" install -qq --disable-pip-version-check --editable "$project"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$python" "$build" && uv pip install --quiet --python "$build/bin/python" --editable "$project"
    else
        fail "$("$python" -c 'import sys; print(sys.executable)') has neither ensurepip nor pip, and there is no uv." \
            'do   apt-get install -y python3-venv      (Debian, Ubuntu)' \
            'or   put uv on PATH'
    fi
}

# Whether the environment was made here (a clone that was moved has stale paths) from this pyproject.toml.
is_current() {
    [ -x "$1/bin/python" ] && [ -r "$1/made-in" ] && read -r made_in <"$1/made-in" && [ "$made_in" = "$root" ] \
        && cmp -s "$root/pyproject.toml" "$1/pyproject.toml"
}

make_environment() {
    env=$1 extras=$2
    env_python="$env/bin/python"
    if is_current "$env"; then
        return 0
    fi
    python=$(find_python) || exit $?
    printf '%s\n' "gpusetup: making its own environment in ${env#"$root/"} (once)" >&2
    build="$env.$$"
    trap 'rm -rf "$build" "$build.log"' EXIT
    trap 'printf "%s\n" "interrupted" >&2; exit 130' INT
    trap 'exit 143' TERM
    # What the tools say is shown when they fail, not when somebody stopped them.
    if ! fill_environment "$build" "$extras" "$python" 2>"$build.log"; then
        cat "$build.log" >&2
        fail 'gpusetup: its own environment could not be made; the lines above say why. Nothing was left behind.'
    fi
    cp "$root/pyproject.toml" "$build/pyproject.toml"
    printf '%s\n' "$root" >"$build/made-in"
    # Scripts carry the path that they were made under, in their first lines.
    "$build/bin/python" -I -c '
import pathlib, sys
made, final = (bytes(pathlib.Path(name)) for name in sys.argv[1:])
for script in (pathlib.Path(sys.argv[1]) / "bin").iterdir():
    text = script.read_bytes() if script.is_file() and not script.is_symlink() else b""
    if text.startswith(b"#!") and made in text[:4096]:
        script.write_bytes(text.replace(made, final))
' "$build" "$env"
    old="$env.old.$$"
    if [ -e "$env" ]; then mv "$env" "$old"; fi
    # A concurrent start may have been faster; its environment is as good as ours.
    mv -T "$build" "$env" 2>/dev/null || [ -x "$env_python" ] || fail "gpusetup: $env could not be put in place."
    rm -rf "$old" "$build" "$build.log"
    trap - EXIT INT TERM
}
