#!/bin/sh
# Installs the packages of the programs in scripts/test-packages.txt that this machine
# lacks. Only root on Debian can; elsewhere, and when it fails, the tests that need
# them skip and say so.
set -u
cd "$(dirname "$0")/.." || exit
missing=
while read -r program package; do
    case $program in '' | '#'*) continue ;; esac
    command -v "$program" >/dev/null || missing="$missing $package"
done <scripts/test-packages.txt
if [ -z "$missing" ] || [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
    exit 0
fi

echo "installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
# An installed nginx would start at once, on port 80; this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
log=$(mktemp)
# shellcheck disable=SC2086 # names of packages: one word each
if apt-get update -qq </dev/null >"$log" 2>&1 &&
    apt-get install -y -qq --no-install-recommends $missing </dev/null >>"$log" 2>&1; then
    rm -f "$log"
else
    tail -n 3 "$log" >&2
    echo "could not install:$missing (see $log); the tests that need them skip" >&2
fi
