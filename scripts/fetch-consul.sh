#!/bin/sh
# fetch-consul.sh FOLDER: put Consul into FOLDER, from Debian 11, the last one to have
# it. Without Debian, or when that fails, the tests that need it skip and say so.
set -u
folder=${1:?name a folder, as in: fetch-consul.sh .venv/bin}
if [ -x "$folder/consul" ] || command -v consul >/dev/null || [ ! -e /etc/debian_version ]; then
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] http://deb.debian.org/debian bullseye main" >"$work/sources.list"
fetch() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" "$@" </dev/null
}
echo "fetching for the tests: consul"
if cd "$work" && fetch update >log 2>&1 && fetch download consul >>log 2>&1 &&
    dpkg -x consul_*.deb root && cd "$OLDPWD" && cp "$work/root/usr/bin/consul" "$folder/consul"; then
    exit 0
fi
tail -n 3 "$work/log" >&2
echo "could not fetch consul; the tests that need it skip" >&2
