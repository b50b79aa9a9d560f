#!/bin/sh
# deploy.sh FOLDER: let the code in FOLDER take the place of what runs on DATA_DIR.
# Without systemd: the new instance gets the listening sockets of the running one,
# takes the writer slot and retires it. An older FOLDER is a roll-back.
# Knobs come from the environment; DATA_DIR must be outside of FOLDER.
# Run with Debian 12, Linux 6.18, Python 3.11.
set -eu
cd "${1:?name the folder of a release, as in: deploy.sh /srv/trip2g/releases/2}"
: "${DATA_DIR:?set it to the data directory, which all releases share}"
export DATA_DIR RELEASE="${RELEASE:-$(basename "$PWD")}"
mkdir -p "$DATA_DIR/logs"
exec 9>"$DATA_DIR/deploy.lock"
flock --nonblock 9 || { echo "Another deploy is under way; wait for it." >&2; exit 1; }
if ! [ -e .venv/installed ]; then
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet -r requirements.txt
    touch .venv/installed
fi
manage() { .venv/bin/python manage.py "$@"; }
manage check --deploy
[ ! -e "$DATA_DIR/trip2g.sqlite3" ] || manage warmup
log="$DATA_DIR/logs/$RELEASE.log"
setsid .venv/bin/python manage.py serve </dev/null >>"$log" 2>&1 9>&- &
new=$!
fail() {
    trap '' EXIT INT TERM HUP
    # Interrupted too late: it has taken over, and what ran before drains.
    if manage handoff wait "$new" --timeout 0 2>/dev/null; then exit 0; fi
    kill -KILL "$new" 2>/dev/null || true
    tail -n 10 "$log" >&2
    echo "The deploy of $PWD has failed; what ran before runs on." >&2
    exit 1
}
trap fail EXIT INT TERM HUP
manage handoff wait "$new" --timeout "${DEPLOY_TIMEOUT:-120}"
trap - EXIT INT TERM HUP
