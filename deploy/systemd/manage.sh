#!/bin/sh
# Installed as /usr/local/bin/trip2g: manage.py of the release that was deployed last,
# as the site's user and with its knobs. Run with systemd 252 (Debian 12).
set -eu
set -a
. /etc/trip2g.env
set +a
# Not from there: what is named here, a vault say, is meant as seen from here.
release=/opt/trip2g/current
exec runuser -u trip2g -- "$release/.venv/bin/python" "$release/manage.py" "$@"
