#!/bin/sh
# Prints one line naming what this machine lacks to make a virtual environment
# with $PYTHON, and the command that installs it; prints nothing when all is there.
set -u
PYTHON=${PYTHON:-python3}
apt='apt-get install -y'
[ "$(id -u)" = 0 ] || apt="sudo $apt"

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    echo "$PYTHON is missing; run '$apt python3 python3-venv', then this again"
    exit
fi
# ensurepip is what Debian splits off; the others a Python built by hand may lack.
"$PYTHON" - "$apt" <<'PROGRAM'
import importlib.util
import sys

apt = sys.argv[1]
version = ".".join(map(str, sys.version_info[:3]))
if sys.version_info < (3, 11):
    print(
        "%s is Python %s, and 3.11 or newer is needed; run '%s python3 python3-venv', "
        "or name another one: make PYTHON=python3.12 run" % (sys.executable, version, apt)
    )
else:
    lacking = [
        name
        for name in ("venv", "ensurepip", "sqlite3", "ssl", "zlib", "ctypes")
        if importlib.util.find_spec(name) is None
    ]
    if lacking:
        print(
            "Python %s lacks %s; run '%s python3 python3-venv', then this again"
            % (version, ", ".join(lacking), apt)
        )
PROGRAM
