"""Settings of the small site: the instance without the notes."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["lifecycle"]
MIDDLEWARE = []
ROOT_URLCONF = "tests.deploys.site_urls"
LIFECYCLE_WARMUP_TASKS = ["tests.deploys.application.warm"]
LIFECYCLE_WORKER_STARTERS = []
LIFECYCLE_COMPANIONS = []
LIFECYCLE_AFTER_READY = []
LIFECYCLE_WRITER_SUBSYSTEMS = []
LIFECYCLE_JOBS = {}
LIFECYCLE_SEQUENCE = ""
LIFECYCLE_WRITE_PATHS = ["/"]
LIFECYCLE_WRITE_AUTHORITY = ""
