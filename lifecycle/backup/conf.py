"""The settings of backups, read at access."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from lifecycle.conf import conf


class BackupConf:
    """A typed property a setting; defaults stand here and nowhere else."""

    @property
    def is_scheduled(self) -> bool:
        """Whether the writer makes backups, and a new data directory begins with one."""
        return bool(getattr(settings, "LIFECYCLE_SIMPLE_BACKUP", False))

    @property
    def interval(self) -> float:
        """Between two scheduled backups, in seconds."""
        return float(getattr(settings, "LIFECYCLE_SIMPLE_BACKUP_INTERVAL", 3600.0))

    @property
    def keep(self) -> int:
        """How many of the newest backups are kept."""
        return int(getattr(settings, "LIFECYCLE_SIMPLE_BACKUP_KEEP", 24))

    @property
    def keep_days(self) -> int:
        """For how many days the last backup of each day is kept; 0: for none."""
        return int(getattr(settings, "LIFECYCLE_SIMPLE_BACKUP_KEEP_DAYS", 30))

    @property
    def trees(self) -> dict[str, Path]:
        """Name to folder: files to back up, each named by its SHA-256, never changed."""
        trees = getattr(settings, "LIFECYCLE_BACKUP_TREES", {})
        return {name: Path(folder) for name, folder in trees.items()}

    @property
    def work_dir(self) -> Path:
        """Where snapshots and downloads are made: on the database's own disk."""
        return conf.data_dir / "backup-work"

    @property
    def status_path(self) -> Path:
        """What the last backup was, and how the last attempt failed."""
        return conf.data_dir / "backup-status.json"


backup_conf = BackupConf()
