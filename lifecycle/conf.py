"""The settings of lifecycle, read at access."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings


class Conf:
    """A typed property a setting; defaults stand here and nowhere else."""

    @property
    def data_dir(self) -> Path:
        """The data directory. Required."""
        return Path(settings.LIFECYCLE_DATA_DIR)

    @property
    def warmup_tasks(self) -> Sequence[str]:
        """Dotted paths of callables(context) that the warmup runs, in order."""
        return list(getattr(settings, "LIFECYCLE_WARMUP_TASKS", []))

    @property
    def worker_starters(self) -> Sequence[str]:
        """Dotted paths of callables() that each worker runs before it accepts."""
        return list(getattr(settings, "LIFECYCLE_WORKER_STARTERS", []))

    @property
    def writer_subsystems(self) -> Sequence[str]:
        """Dotted paths of callables(stop: Event) that the writer process runs."""
        return list(getattr(settings, "LIFECYCLE_WRITER_SUBSYSTEMS", []))

    @property
    def companions(self) -> Sequence[str]:
        """
        Dotted paths of callables() -> callable(), for work beside the workers.

        Each is called in the warmed master before its first fork. What it returns
        runs in a child of the master as long as the instance lives.
        """
        return list(getattr(settings, "LIFECYCLE_COMPANIONS", []))

    @property
    def after_ready(self) -> Sequence[str]:
        """Dotted paths of callables() that run once the instance is READY, at nice 19."""
        return list(getattr(settings, "LIFECYCLE_AFTER_READY", []))

    @property
    def jobs(self) -> dict[str, str]:
        """Name to dotted path of callables(params, progress) -> dict."""
        return dict(getattr(settings, "LIFECYCLE_JOBS", {}))

    @property
    def health_checks(self) -> Sequence[Any]:
        """What /healthz runs, as django-health-check's view takes them."""
        default = [
            "health_check.checks.Database",
            "lifecycle.health.DataDirectory",
            "lifecycle.health.Backup",
        ]
        return list(getattr(settings, "LIFECYCLE_HEALTH_CHECKS", default))

    @property
    def vacuum_cron(self) -> bool:
        """Whether the writer optimizes and vacuums the database."""
        return bool(getattr(settings, "LIFECYCLE_VACUUM_CRON", False))

    @property
    def litestream(self) -> bool:
        """Whether the operator says that a Litestream replicates the database."""
        return bool(getattr(settings, "LIFECYCLE_LITESTREAM", False))

    @property
    def litestream_config(self) -> Path | None:
        """The configuration of the Litestream that the writer runs; None for none."""
        value = getattr(settings, "LIFECYCLE_LITESTREAM_CONFIG", None)
        return Path(value) if value else None

    @property
    def sequence(self) -> str:
        """Dotted path of a callable() -> int: the data's state; '' for none."""
        return str(getattr(settings, "LIFECYCLE_SEQUENCE", ""))

    @property
    def write_hold_timeout(self) -> float:
        """How long a write waits for a writer, in seconds."""
        return float(getattr(settings, "LIFECYCLE_WRITE_HOLD_TIMEOUT", 10.0))

    @property
    def write_paths(self) -> tuple[str, ...]:
        """
        How the paths of unsafe requests begin that may write; default: any.

        Others never wait for a writer: bots send POST to whatever they have heard of.
        """
        return tuple(getattr(settings, "LIFECYCLE_WRITE_PATHS", ("/",)))

    @property
    def write_authority(self) -> str:
        """
        Dotted path of a callable(environ) -> bool: who may be told a stored answer.

        It is asked before one is; who may not is left to the application, which knows
        how to refuse. '' for anybody who knows the key.
        """
        return str(getattr(settings, "LIFECYCLE_WRITE_AUTHORITY", ""))

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a write, in bytes."""
        return int(getattr(settings, "LIFECYCLE_MAX_BODY_BYTES", 10 * 1024 * 1024))

    @property
    def job_timeout(self) -> float:
        """How long a command waits for the writer, in seconds."""
        return float(getattr(settings, "LIFECYCLE_JOB_TIMEOUT", 20.0))

    @property
    def database_path(self) -> Path:
        """
        The SQLite file that lifecycle guards: LIFECYCLE_DATABASE. Required.

        Not read from DATABASES, whose name a test run replaces by its own.
        """
        return Path(settings.LIFECYCLE_DATABASE)


conf = Conf()
