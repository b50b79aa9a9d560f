"""
The watcher: keeps the database what NOTES_VAULT_DIR is, while this process writes.

It watches the vault and syncs after each change. What goes wrong is a line in the
log, and the site stays as it was: a vault is somebody's desk, not an input that has
been checked.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connections
from watchfiles import watch as watch_files

from notes.conf import conf
from notes.exceptions import DeleteGuardError, SyncError, VaultError
from notes.reading import cache_for
from notes.sync import sync_vault
from notes.vault import SETTINGS, is_system, open_vault

logger = logging.getLogger(__name__)

DEBOUNCE = 400
"""In milliseconds; the longest that a stream of changes puts off a sync."""
STEP = 100
"""In milliseconds; how long nothing changes before a sync begins."""
TICK = 1000
"""In milliseconds; how often the vault is looked after when nothing changes."""
RETRY_INTERVAL = 10.0
"""In seconds; until a sync is tried again that failed for no fault of the vault."""


def watch(stop: threading.Event) -> None:
    """
    Sync the vault, then again after each change to it, until *stop* is set.

    Runs in a thread of the process that may write, and returns at once when no
    vault is set. It never removes much of the site: `sync_vault --delete` does,
    when a person says so.
    """
    directory = conf.vault_dir
    if directory is not None:
        # It counts the changes of each moment, of editors' own files too.
        logging.getLogger("watchfiles.main").setLevel(logging.WARNING)
        _Watch(directory, stop).run()


class _StoppedError(Exception):
    """The writer ends; a sync that has not committed is given up."""


class _Watch:
    """One watch over one vault, which may come, go and be replaced meanwhile."""

    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self._directory = directory
        self._stop = stop
        self._cache = cache_for(directory)
        self._complaint = ""
        self._skipped: set[tuple[str, str]] = set()
        self._retry_at = math.inf
        self._must_poll: bool | None = None  # watchfiles finds out by itself

    def run(self) -> None:
        self._sync()
        while not self._stop.is_set():
            try:
                self._follow(open_vault(self._directory))
            except VaultError as exc:
                self._complain(str(exc))
                self._stop.wait(TICK / 1000)
            except (OSError, RuntimeError) as exc:
                # RuntimeError is watchfiles' own; most often the cause is the
                # limit on inotify watches.
                self._complain(f"Watching by the system failed, so polling: {exc}")
                self._must_poll = True
                self._stop.wait(TICK / 1000)

    def _follow(self, root: Path) -> None:
        """Sync after each change; return when another folder stands at the path."""
        identity = self._identify()
        self._retry_at = time.monotonic()  # for changes from before the watch
        own_dirs = [path.resolve() for path in conf.own_dirs]
        for changes in watch_files(
            root,
            watch_filter=None,
            debounce=DEBOUNCE,
            step=STEP,
            rust_timeout=TICK,
            yield_on_timeout=True,
            stop_event=self._stop,
            raise_interrupt=False,
            force_polling=self._must_poll,
            ignore_permission_denied=True,
        ):
            if self._identify() != identity:
                return
            if time.monotonic() >= self._retry_at or any(
                _is_ours(Path(path), root, own_dirs) for _, path in changes
            ):
                self._sync()

    def _identify(self) -> tuple[int, int] | None:
        """Return device and inode of the vault; None when it is gone."""
        try:
            status = self._directory.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _sync(self) -> None:
        """Sync once; what fails is logged, and tried again later."""
        self._retry_at = math.inf
        try:
            report = sync_vault(
                self._directory,
                exclude=conf.exclude,
                progress=self._check_stop,
                cache=self._cache,
            )
        except _StoppedError:
            return
        except (VaultError, DeleteGuardError) as exc:
            self._complain(str(exc))  # the next change of the vault decides
        except (SyncError, DatabaseError, OSError) as exc:
            self._complain(" ".join(f"{type(exc).__name__}: {exc}".split()))
            self._retry_at = time.monotonic() + RETRY_INTERVAL
        except Exception:
            # A fault in here must not end the watch: the site would be stale
            # until somebody restarts it.
            logger.exception("event=sync_failed vault=%s", self._directory)
            self._retry_at = time.monotonic() + RETRY_INTERVAL
        else:
            self._complaint = ""
            for path, reason in sorted(set(report.skipped) - self._skipped):
                logger.warning("event=note_skipped path=%r reason=%r", path, reason)
            self._skipped = set(report.skipped)
        finally:
            connections.close_all()

    def _check_stop(self, _state: dict[str, Any]) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _complain(self, complaint: str) -> None:
        """Log *complaint*, unless it is the last one again."""
        if complaint != self._complaint:
            logger.warning(
                "event=sync_failed vault=%s reason=%r", self._directory, complaint
            )
        self._complaint = complaint


def _is_ours(path: Path, root: Path, own_dirs: Sequence[Path]) -> bool:
    """Whether a change to *path* can change the site."""
    if not path.is_relative_to(root):
        return False
    # A sync writes there: it would be the cause of the next. The vault may be in one.
    if any(path.is_relative_to(o) and o.is_relative_to(root) for o in own_dirs):
        return False
    parts = path.relative_to(root).parts
    return parts == (SETTINGS,) or not any(map(is_system, parts))
