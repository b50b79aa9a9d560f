#!/bin/sh
# Installed as /usr/local/sbin/trip2g-route, which trip2g-deploy calls with the colour
# that is ready, before it stops the other one; and with the other one, if it fails.
# Run with nginx 1.22.1 and systemd 252 (Debian 12).
set -eu
. "/etc/trip2g-${1:?name a colour, as in: route.sh green}.env"
exec trip2g-flip "$LISTEN_ADDR"
