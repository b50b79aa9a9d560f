"""How gunicorn runs the site; the knobs are in docs/knobs.md."""

from __future__ import annotations

import os
from pathlib import Path

from lifecycle import hooks
from lifecycle.hooks import (  # noqa: F401 - gunicorn finds them by name
    child_exit,
    nworkers_changed,
    on_exit,
    on_starting,
    post_worker_init,
    pre_fork,
    when_ready,
    worker_int,
)
from trip2g_site.knobs import KNOBS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trip2g_site.settings")
_knobs = hooks.read_knobs(KNOBS, Path(__file__).parent)

wsgi_app = "trip2g_site.wsgi"
preload_app = True
worker_class = "lifecycle.worker.InstanceWorker"
workers = _knobs["WORKERS"]
threads = _knobs["THREADS"]
# A worker that is stopped, or hangs in a write, may keep SQLite's lock: it is killed
# before a held write gives up. Others get longer; see lifecycle.arbiter.
# That is up to 2 s after the time-out: one till it is noticed, one for its SIGABRT.
timeout = max(2, min(8, int(_knobs["WRITE_HOLD_TIMEOUT"]) - 4))
# In memory: a heartbeat on a busy disk may wait longer than the time-out.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# Longer than the idle time-outs of proxies, so that they close first.
keepalive = 130
accesslog = "-" if _knobs["ACCESS_LOG"] else None
logger_class = "lifecycle.logs.GunicornLogger"
# lifecycle.proxies decides whom to believe, not gunicorn.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
control_socket_disable = True
