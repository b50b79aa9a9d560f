"""Runtime checks for /healthz, in django-health-check's form."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time

from health_check.base import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from lifecycle.backup import status
from lifecycle.backup.conf import backup_conf
from lifecycle.conf import conf


@dataclasses.dataclass
class DataDirectory(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """
    Check that DATA_DIR can be written and has room.

    Args:
        min_free_bytes: less than this is a warning; the default is 100 MB.
    """

    min_free_bytes: int = 100 * 1024 * 1024

    def run(self) -> None:
        """Look at permissions and at the free space."""
        if not os.access(conf.data_dir, os.W_OK):
            raise ServiceUnavailable("DATA_DIR cannot be written")
        free = shutil.disk_usage(conf.data_dir).free
        if free < self.min_free_bytes:
            raise ServiceWarning(f"DATA_DIR has {free // 1024**2} MB left")


@dataclasses.dataclass
class Backup(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """
    Check that the last scheduled backup is good and not too old.

    The age stands in its label: OK, too, should say of when.

    Args:
        intervals: a backup older than so many intervals is too old; so long may the
            first one take, too.
    """

    intervals: int = dataclasses.field(default=3, repr=False)
    age: str = dataclasses.field(init=False, default="")

    def __post_init__(self) -> None:
        """Read the status; a check is made for each request."""
        self._status = status.read(backup_conf.status_path)
        if not backup_conf.is_scheduled:
            self.age = "off"
        elif not self._status.at:
            self.age = "none yet"
        else:
            self.age = f"{self._seconds / 60:.0f} min"

    @property
    def _seconds(self) -> float:
        return max(0.0, time.time() - self._status.at)

    def run(self) -> None:
        """Look at the age of the last good one, and at what failed since."""
        if not backup_conf.is_scheduled:
            return
        longest = self.intervals * backup_conf.interval
        if not self._status.at and self._status.begun_at:
            waited = time.time() - self._status.begun_at
            if waited > longest:
                raise ServiceUnavailable(
                    f"no backup has been good in {waited / 60:.0f} min"
                )
        if self._status.at and self._seconds > longest:
            raise ServiceUnavailable(f"the last good backup is {self.age} old")
        if self._status.failed_at:
            raise ServiceWarning(
                f"the last attempt failed; the last good backup: {self.age}"
            )
