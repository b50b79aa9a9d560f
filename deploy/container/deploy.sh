#!/bin/sh
# deploy.sh IMAGE: let IMAGE take the place of what runs; an older image is a roll-back.
# Which image each colour has is kept in .env, beside compose.yaml.
# Run with podman-compose 1.6.0 and podman 4.3.1 (Debian 12).
set -eu
cd "$(dirname "$0")"
image=${1:?name an image, as in: deploy.sh localhost/trip2g:2}
exec 9>.deploy.lock
flock --nonblock 9 || { echo "Another deploy is under way; wait for it." >&2; exit 1; }
# Not with the lock, which what it leaves behind for each container would keep.
compose() { ${COMPOSE:-podman-compose} "$@" 9>&-; }
# In this project: another site on this host has a blue and a green of its own.
is_there() { compose ps --format '{{.Status}} {{.Names}}' | grep -q "^$2.*[_-]$1[_-]1\$"; }
runs() { is_there "$1" "Up "; }
old=green new=blue name=BLUE
if runs blue; then old=blue new=green name=GREEN; fi

touch .env
sed -i "/^$name=/d" .env
echo "$name=$image" >>.env
compose up --detach --no-deps --force-recreate "$new"
# SIGKILL, since one that has not become ready has nothing to drain. One that ends by
# itself is started again and again, and can be removed only in between.
fail() {
    trap - EXIT
    compose logs --tail 10 "$new" >&2 || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        compose down --timeout 0 "$new" >/dev/null 2>&1 || true
        is_there "$new" "" || break
    done
    echo "The deploy of $image has failed; $old is as it was." >&2
    exit 1
}
trap fail EXIT INT TERM HUP
compose exec -T "$new" python -c '
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
trap - EXIT INT TERM HUP
if runs "$old"; then compose stop --timeout 30 "$old"; fi # returns when it has drained
