#!/usr/bin/env bash
# Make VENV hold exactly the hashed REQUIREMENTS, and this checkout as an editable install.
#
#   PYTHON=python3 make-venv.sh VENV REQUIREMENTS
set -euo pipefail
venv=$1 requirements=$2 python=${PYTHON:-python3}

fail() {
  echo "make-venv: $*" >&2
  exit 1
}

command -v "$python" >/dev/null || fail "there is no $python; shipwheel needs CPython 3.11 or newer (make PYTHON=/path/to/python3)"
"$python" -c 'import sys; sys.exit(sys.implementation.name != "cpython" or sys.version_info < (3, 11))' ||
  fail "$("$python" --version 2>&1) is not CPython 3.11 or newer; name one with make PYTHON=/path/to/python3"

if [ ! -x "$venv/bin/python" ]; then
  # Debian keeps ensurepip in a package of its own (python3-venv): without it, the machine's pip serves.
  "$python" -m venv "$venv" 2>/dev/null || "$python" -m venv --clear --without-pip "$venv" ||
    fail "$python has no venv module; install it (on Debian: apt install python3-venv)"
fi
if [ -x "$venv/bin/pip" ]; then
  pip=("$venv/bin/python" -m pip)
else
  "$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip; install it (on Debian: apt install python3-pip)"
  pip=("$python" -m pip --python "$venv/bin/python")
fi

# The files name every package, so pip has nothing to resolve; and nothing is built but shipwheel itself,
# by the hatchling that is among them.
"${pip[@]}" install --quiet --disable-pip-version-check --retries 5 --no-deps --require-hashes -r "$requirements"
"${pip[@]}" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
