"""The least settings that a project with lifecycle needs."""

from __future__ import annotations

import os

from tests.lifecycle.sample.knobs import KNOBS

_knobs = KNOBS.load(os.environ)


def _words(name: str, default: str = "") -> list[str]:
    return os.environ.get(name, default).split()


DATA_DIR = _knobs["DATA_DIR"]
SECRET_KEY = "sample"  # noqa: S105 - it guards nothing
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["health_check", "lifecycle", "tests.lifecycle.sample"]
ROOT_URLCONF = "tests.lifecycle.sample.urls"
DATABASES = {
    "default": {
        "ENGINE": "lifecycle.sqlite",
        "NAME": DATA_DIR / "sample.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL",
        },
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIGRATION_MODULES = {
    "sample": os.environ.get("SAMPLE_MIGRATIONS", "tests.lifecycle.sample.migrations")
}
LOGGING_CONFIG = "lifecycle.logs.configure_again"
LOGGING = {"version": 1}

LIFECYCLE_DATA_DIR = DATA_DIR
LIFECYCLE_DATABASE = DATA_DIR / "sample.sqlite3"
LIFECYCLE_LITESTREAM_CONFIG = _knobs["LITESTREAM_CONFIG"]
LIFECYCLE_KNOBS = "tests.lifecycle.sample.knobs.KNOBS"
LIFECYCLE_WARMUP_TASKS = _words("SAMPLE_WARMUP_TASKS")
LIFECYCLE_WORKER_STARTERS = _words("SAMPLE_WORKER_STARTERS")
LIFECYCLE_COMPANIONS = _words("SAMPLE_COMPANIONS")
LIFECYCLE_AFTER_READY = _words("SAMPLE_AFTER_READY")
LIFECYCLE_WRITER_SUBSYSTEMS = _words("SAMPLE_WRITER_SUBSYSTEMS")
LIFECYCLE_JOBS = {
    "count": "tests.lifecycle.sample.jobs.count",
    "fail": "tests.lifecycle.sample.jobs.fail",
    "refuse": "tests.lifecycle.sample.jobs.refuse",
    "wait": "tests.lifecycle.sample.jobs.wait",
    "not_json": "tests.lifecycle.sample.jobs.not_json",
}
LIFECYCLE_JOB_TIMEOUT = float(os.environ.get("SAMPLE_JOB_TIMEOUT", "20"))
LIFECYCLE_HEALTH_CHECKS = _words(
    "SAMPLE_HEALTH_CHECKS",
    "health_check.checks.Database lifecycle.health.DataDirectory",
)
