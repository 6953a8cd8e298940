#!/usr/bin/env bash
# Makes .venv from envs/lock.txt, or does nothing (in milliseconds) if it is there and up to date.
#
#   PYTHON       the Python to use; by default the first >= 3.11 found
#   TORCH_INDEX  where Linux machines without a GPU look for a torch without CUDA's gigabytes; empty: nowhere
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
# What was set up, and where: the commands in .venv/bin name their folder, so a copied environment is no good.
mark=.venv/set-up
inputs=$(cat envs/lock.txt envs/setup.sh pyproject.toml | cksum)

is_good() {
    "$1" -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if is_good "$name"; then
            echo "$name"
            return
        fi
    done
    echo "No Python >= 3.11 with venv${PYTHON:+ at $PYTHON}: install one, or say where: make PYTHON=/its/path" >&2
    return 1
}

pip_install() {
    # Compiling every file of every package would double the time; Python does it for those that are used.
    "$python" -m pip --disable-pip-version-check -qq install --no-compile "$@"
}

# torch first, since which wheel is right depends on the machine; whatever it needs is in the lock.
install_torch() {
    local torch
    torch=$(grep "^torch==" envs/lock.txt)
    if [ "$(uname -s)" = Linux ] && command -v nvidia-smi >/dev/null; then
        pip_install --constraint envs/lock.txt "$torch"
    elif [ "$(uname -s)" = Linux ] && [ -n "${TORCH_INDEX-}" ]; then
        # Where that index can't be reached this costs seconds, and pip takes what it finds elsewhere.
        pip_install --no-deps --retries 0 --timeout 10 --extra-index-url "$TORCH_INDEX" "$torch" 2>/dev/null ||
            pip_install --no-deps "$torch"
    else
        pip_install --no-deps "$torch"
    fi
}

can_import_torch() {
    "$python" -c "import torch" 2>/dev/null
}

{ read -r where && read -r what; } 2>/dev/null <"$mark" || where="" what=""
if [ "$where" = "$PWD" ] && is_good "$python"; then
    [ "$what" = "$inputs" ] && exit
    echo "Bringing .venv up to date." >&2
else
    # None yet, or one that was begun and not finished, or copied here.
    found=$(find_python)
    echo "Setting up .venv with $("$found" --version); this takes some minutes, once." >&2
    "$found" -m venv --clear .venv
fi

# setuptools builds the few packages that have no wheel, so that no build fetches anything of its own.
pip_install "$(grep "^setuptools==" envs/lock.txt)"
install_torch
pip_install --no-deps --no-build-isolation --requirement envs/lock.txt
if ! can_import_torch; then
    echo "The only torch found needs CUDA's libraries; installing them too." >&2
    pip_install --constraint envs/lock.txt "$(grep "^torch==" envs/lock.txt)"
fi
pip_install --no-deps --no-build-isolation --editable .
# Importing everything once shows that it is whole and leaves the bytecode, also where PYTHONDONTWRITEBYTECODE
# is set (in many containers): without it each of the study's short jobs would compile torch and transformers anew.
env -u PYTHONDONTWRITEBYTECODE "$python" - <<'EOF'
import importlib, pkgutil, skillprobe, snakemake.cli
for module in pkgutil.walk_packages(skillprobe.__path__, "skillprobe."):
    importlib.import_module(module.name)
EOF
printf '%s\n%s\n' "$PWD" "$inputs" >"$mark"
