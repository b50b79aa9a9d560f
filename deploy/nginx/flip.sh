#!/bin/sh
# flip.sh ADDRESS: from now on nginx sends everything to the instance on ADDRESS, as in
# flip.sh 127.0.0.3:8080. Call it when that one's /readyz is 200, and stop the other one
# afterwards. Run with nginx 1.22.1 (Debian 12).
set -eu
upstream=/etc/nginx/trip2g-upstream.conf
printf 'server %s max_fails=0;\n' "${1:?name the address, as in: flip.sh 127.0.0.3:8080}" \
    >"$upstream.new"
cp "$upstream" "$upstream.old"
mv "$upstream.new" "$upstream"
# Else nginx would find at its next start what it cannot read.
nginx -t -q || { mv "$upstream.old" "$upstream"; exit 1; }
nginx -s reload
