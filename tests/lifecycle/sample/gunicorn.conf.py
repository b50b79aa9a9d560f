# ruff: noqa: N999 - the name is gunicorn's
"""How gunicorn runs the sample."""

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
from tests.lifecycle.sample.knobs import KNOBS

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.lifecycle.sample.settings")
_knobs = hooks.read_knobs(KNOBS, Path(__file__).parent)

wsgi_app = "tests.lifecycle.sample.wsgi"
preload_app = True
worker_class = "lifecycle.worker.InstanceWorker"
workers = _knobs["WORKERS"]
threads = _knobs["THREADS"]
timeout = 8
logger_class = "lifecycle.logs.GunicornLogger"
accesslog = "-" if _knobs["ACCESS_LOG"] else None
control_socket_disable = True
