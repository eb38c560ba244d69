#!/bin/sh
# Everything that `make demo` and `make test` need, on Debian or Ubuntu: Debian packages, then a virtual environment.
#   usage: [PYTHON=python3] sh tools/setup.sh VENV
set -eu
venv=${1:?usage: setup.sh VENV}
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

# qemu-user runs compiled ARM code here, qemu-system-arm that of a Cortex-M; the C compiler builds the plugin that counts instructions
missing=
command -v qemu-aarch64 >/dev/null || missing="$missing qemu-user"
command -v qemu-system-arm >/dev/null || missing="$missing qemu-system-arm"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
# a second linker: the tests link a bundle with Debian's cross compiler too
command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
# it watches the compiled library at work; gcc's own sanitizers come with gcc
command -v valgrind >/dev/null || missing="$missing valgrind"
# what examples/c is built with
command -v cmake >/dev/null || missing="$missing cmake"
command -v pkg-config >/dev/null || missing="$missing pkg-config"
command -v make >/dev/null || missing="$missing make"
command -v "$python" >/dev/null || missing="$missing python3"
if command -v "$python" >/dev/null && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing="$missing python3-venv"
fi
if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root='sudo -n'
    say "installing Debian packages:$missing"
    # shellcheck disable=SC2086
    if ! { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing; } >&2; then
        say "could not install:$missing"
        say "without qemu-user and qemu-system-arm, compiled ARM code is NOT run and NOT checked here; without gcc, instructions are not counted."
        say "Fix: sudo apt-get install$missing"
        [ "${CI:-}" != true ] || exit 1
    fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "qgait needs Python 3.11 or newer, and $python is $("$python" --version). Fix: make PYTHON=python3.11 ..."
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c constraints.txt torch
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'

# zig builds its C library for a processor at the first use (40 s of one core each); not in the middle of the demo
say "building the C library for this machine and for 64-bit ARM, once"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/qgait" export qgait/models/shipped/gaitset_walkers.safetensors --out "$work/model.onnx" >/dev/null
for target in host arm; do
    "$venv/bin/qgait" compile "$work/model.onnx" --target $target --out "$work/$target" >/dev/null
done
say "ready: $venv/bin/qgait --help"
