#!/bin/sh
# deploy.sh IMAGE: let IMAGE take the place of what runs; an older image is a roll-back.
# Which image each colour has is kept in .env, beside compose.yaml.
# Run with podman-compose 1.6.0 and podman 4.3.1 (Debian 12).
set -eu
cd "$(dirname "$0")"
image=${1:?name an image, as in: deploy.sh localhost/trip2g:2}
compose=${COMPOSE:-podman-compose}
# In this project: another site on this host has a blue and a green of its own.
runs() { $compose ps --format '{{.Status}} {{.Names}}' | grep -q "^Up .*[_-]$1[_-]1\$"; }
old=green new=blue name=BLUE
if runs blue; then old=blue new=green name=GREEN; fi

touch .env
sed -i "/^$name=/d" .env
echo "$name=$image" >>.env
$compose up --detach --no-deps --force-recreate "$new"
# SIGKILL, since one that has not become ready has nothing to drain.
fail() {
    trap - EXIT
    $compose logs --tail 10 "$new" >&2 || true
    $compose kill "$new"
    echo "The deploy of $image has failed; $old is as it was." >&2
    exit 1
}
trap fail EXIT INT TERM
$compose exec -T "$new" python -c '
import time, urllib.request
for _ in range(600):
    try:
        urllib.request.urlopen("http://127.0.0.1:8081/readyz", timeout=5)
        break
    except OSError:
        time.sleep(0.2)
else:
    raise SystemExit("It has not become ready within two minutes.")
'
sleep "${PROBE_WINDOW:-3s}" # Caddy must have seen it
trap - EXIT INT TERM
if runs "$old"; then $compose stop --timeout 30 "$old"; fi # returns when it has drained
