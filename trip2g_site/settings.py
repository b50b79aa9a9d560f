"""Settings: the knobs of the environment, and what wires notes to lifecycle."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from django.http.request import split_domain_port

from lifecycle.backup.storages import backup_storage
from lifecycle.secret_key import SecretKeyError, load_secret_key
from trip2g_site.knobs import KNOBS

_knobs = KNOBS.load(os.environ)

DATA_DIR = _knobs["DATA_DIR"]
DEBUG = _knobs["DEBUG"]
try:
    SECRET_KEY = _knobs["SECRET_KEY"] or load_secret_key(DATA_DIR / "secret-key")
except SecretKeyError as exc:
    # Neither Django nor gunicorn has a way to tell an operator in one line.
    sys.exit(str(exc))

PUBLIC_URL = _knobs["PUBLIC_URL"]
_public_host = split_domain_port(urlsplit(PUBLIC_URL).netloc)[0]
ALLOWED_HOSTS = list(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", _public_host]))

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "health_check",
    "lifecycle",
    "notes",
]
MIDDLEWARE = [
    "lifecycle.middleware.ReadOnlyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SILENCED_SYSTEM_CHECKS = [
    "security.W003",  # no cookie says who somebody is: writes carry a token
    "security.W004",  # TLS, and with it HSTS, is the proxy's in front
    "security.W008",  # as W004
]
ROOT_URLCONF = "trip2g_site.urls"
WSGI_APPLICATION = "trip2g_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "lifecycle.sqlite",
        "NAME": DATA_DIR / "trip2g.sqlite3",
        # Each thread keeps its connection. SQLite syncs the folder too in the first
        # commit of every new one: a write would wait for the disk twice.
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # A transaction that reads first and then writes fails at once in
            # WAL, whatever the time-out says; IMMEDIATE waits instead.
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            "init_command": "PRAGMA journal_mode=WAL",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Any storage of Django's will do here.
    "backups": backup_storage(
        _knobs["BACKUP_STORAGE"] or str(DATA_DIR / "backups"), os.environ
    ),
}

USE_TZ = True
TIME_ZONE = _knobs["TIME_ZONE"]
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"

NOTES_PUBLIC_URL = PUBLIC_URL
NOTES_VAULT_DIR = _knobs["VAULT_DIR"]
NOTES_MANUAL_DIR = Path(__file__).resolve().parent.parent / "docs"
NOTES_ATTACHMENTS_DIR = DATA_DIR / "attachments"
NOTES_CACHE_DIR = DATA_DIR / "render-cache"
NOTES_EXCLUDE = _knobs["EXCLUDE"]
# A callable(name, params, progress) that runs a job of LIFECYCLE_JOBS where the
# writer is: in a living instance, or here when there is none.
NOTES_RUN_AS_WRITER = "lifecycle.jobs.run_as_writer"

NOTES_MAX_NOTE_SIZE = 5 * 1024**2  # bytes
NOTES_EPOCH = "lifecycle.gate.transaction_epoch"
NOTES_EXPECTED_SEQUENCE = "lifecycle.worker_state.expected_sequence"
# The other threads answer whatever is written meanwhile.
NOTES_PATIENT_READERS = max(1, _knobs["THREADS"] // 4)

LOGGING_CONFIG = "lifecycle.logs.configure_again"
LOGGING = {"version": 1}

LIFECYCLE_DATA_DIR = DATA_DIR
LIFECYCLE_DATABASE = DATABASES["default"]["NAME"]
LIFECYCLE_TRUSTED_PROXIES = _knobs["TRUSTED_PROXIES"]
LIFECYCLE_KNOBS = "trip2g_site.knobs.KNOBS"
LIFECYCLE_WARMUP_TASKS = ["notes.warmup.warm_site"]
LIFECYCLE_COMPANIONS = ["notes.builder.prepare"]
LIFECYCLE_AFTER_READY = ["notes.squeezing.squeeze_cache"]
LIFECYCLE_WORKER_STARTERS = ["notes.following.start", "notes.search.index.start"]
LIFECYCLE_WRITER_SUBSYSTEMS = [
    "notes.watcher.watch",
    "lifecycle.backup.schedule.run",
    "lifecycle.litestream.replicate",
    "lifecycle.vacuum.run",
]
LIFECYCLE_WRITE_HOLD_TIMEOUT = _knobs["WRITE_HOLD_TIMEOUT"]
LIFECYCLE_SEQUENCE = "notes.plan.latest_sequence"
LIFECYCLE_WRITE_PATHS = ["/api/"]
LIFECYCLE_WRITE_AUTHORITY = "notes.tokens.shows_token"
# A note is the largest thing that is sent here.
LIFECYCLE_MAX_BODY_BYTES = NOTES_MAX_NOTE_SIZE
LIFECYCLE_SIMPLE_BACKUP = _knobs["SIMPLE_BACKUP"]
LIFECYCLE_SIMPLE_BACKUP_INTERVAL = _knobs["SIMPLE_BACKUP_INTERVAL"]
LIFECYCLE_SIMPLE_BACKUP_KEEP = _knobs["SIMPLE_BACKUP_KEEP"]
LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS = _knobs["SIMPLE_BACKUP_KEEP_DAYS"]
LIFECYCLE_BACKUP_TREES = {"attachments": NOTES_ATTACHMENTS_DIR}
LIFECYCLE_LITESTREAM = _knobs["LITESTREAM"]
LIFECYCLE_LITESTREAM_CONFIG = _knobs["LITESTREAM_CONFIG"]
LIFECYCLE_VACUUM_CRON = _knobs["VACUUM_CRON"]
LIFECYCLE_JOBS = {"sync_vault": "notes.sync.sync_vault_job"}
