#!/bin/sh
# deploy.sh FOLDER: let the code in FOLDER take the place of what runs on DATA_DIR.
# Without systemd: the new instance gets the listening sockets of the running one,
# takes the writer slot and retires it. An older FOLDER is a roll-back.
# Knobs come from the environment; DATA_DIR must be outside of FOLDER.
# Run with Debian 12, Linux 6.18, Python 3.11.
set -eu
: "${DATA_DIR:?set it to the data directory, which all releases share}"
# As it is seen from here: in the next FOLDER it would be another one.
case $DATA_DIR in /*) ;; *) DATA_DIR=$PWD/$DATA_DIR ;; esac
cd "${1:?name the folder of a release, as in: deploy.sh /srv/trip2g/releases/2}"
export DATA_DIR RELEASE="${RELEASE:-$(basename "$PWD")}"
mkdir -p "$DATA_DIR/logs"
exec 9>"$DATA_DIR/deploy.lock"
flock --nonblock 9 || { echo "Another deploy is under way; wait for it." >&2; exit 1; }
manage() { .venv/bin/python manage.py "$@"; }
new=
fail() {
    trap '' EXIT INT TERM HUP
    if [ "$new" ]; then
        # Interrupted too late: it has taken over, and what ran before drains.
        if manage handoff wait "$new" --timeout 0 2>/dev/null; then exit 0; fi
        kill -KILL "$new" 2>/dev/null || true
        wait "$new" 2>/dev/null || true
        # The log may be older: what runs may be the same release.
        tail -c "+$begin" "$log" | grep -v ' event=request ' | tail -n 10 >&2
    fi
    echo "The deploy of $PWD has failed; what ran before runs on." >&2
    exit 1
}
trap fail EXIT INT TERM HUP
# It is made again where the system's Python was upgraded, too.
if ! { [ -e .venv/installed ] && .venv/bin/python -c 'import gunicorn'; }; then
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet -r requirements.txt
    touch .venv/installed
fi
manage check --deploy
[ ! -e "$DATA_DIR/trip2g.sqlite3" ] || manage warmup
log="$DATA_DIR/logs/$RELEASE.log"
# Where the disk is full no log would say so.
date -u "+time=%FT%TZ level=info event=deploy" >>"$log"
begin=$(($(wc -c <"$log") + 1))
setsid .venv/bin/python manage.py serve </dev/null >>"$log" 2>&1 9>&- &
new=$!
manage handoff wait "$new" --timeout "${DEPLOY_TIMEOUT:-120}"
trap - EXIT INT TERM HUP
