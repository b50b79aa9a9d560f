#!/bin/sh
# deploy.sh RELEASE: put /opt/trip2g/releases/RELEASE in the place of what runs.
# A release that was there before is a roll-back. Run with systemd 252 (Debian 12).
set -eu; umask 022 # the site's user has to read the packages
root=/opt/trip2g release=/opt/trip2g/releases/${1:?name a release, as in: deploy.sh 2}
route=/usr/local/sbin/trip2g-route # where there is one, it says which colour gets readers
set -a; . /etc/trip2g.env; set +a
exec 9>/run/trip2g-deploy.lock
flock --nonblock 9 || { echo "Another deploy is under way; wait for it." >&2; exit 1; }
# The enabled colour is the one that serves, whatever an earlier deploy left behind.
old=green new=blue began=$(date +%s.%N)
if systemctl --quiet is-enabled trip2g@blue 2>/dev/null; then old=blue new=green; fi
fail() {
    trap - EXIT
    journalctl -q -u "trip2g@$new" -S "@$began" -n 10 -o cat --no-pager >&2 || true
    if [ -x "$route" ]; then "$route" "$old" || true; fi
    systemctl --quiet disable --now "trip2g@$new" || true
    echo "The deploy of $release has failed; trip2g@$old is as it was." >&2
    exit 1
}
trap fail EXIT INT TERM HUP
manage() { runuser -u trip2g -- .venv/bin/python manage.py "$@"; }
cd "$release"
if ! { [ -e .venv/installed ] && .venv/bin/python -c 'import gunicorn'; }; then
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet -r requirements.txt
    touch .venv/installed
fi
manage check --deploy
[ ! -e "$DATA_DIR/trip2g.sqlite3" ] || manage warmup
systemctl --quiet stop "trip2g@$new" # an earlier deploy may have left it
ln -sfn "$release" "$root/$new"
systemctl start "trip2g@$new" # returns when it is ready
if [ -x "$route" ]; then "$route" "$new"; fi
systemctl --quiet enable "trip2g@$new"
trap - EXIT; trap '' INT TERM HUP # both are enabled: one of them must not stay so
systemctl --quiet disable "trip2g@$old"
ln -sfn "$release" "$root/current"
trap - INT TERM HUP
systemctl --quiet stop "trip2g@$old" # returns when it has drained
