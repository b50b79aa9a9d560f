"""
gunicorn's hooks, in the order in which gunicorn calls them.

    nworkers_changed  master, first thing, before the application is imported
    on_starting       master, application imported, no socket yet: warm up here
    when_ready        master, sockets there, no worker yet
    pre_fork          master, before each worker
    post_worker_init  worker, before it accepts
    worker_int        worker, told to stop at once
    child_exit        master, a worker is gone
    on_exit           master, at the end

Django is imported inside functions only: the internal port answers before that.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lifecycle import hazards, limits, logs
from lifecycle.arbiter import InstanceArbiter, refuse
from lifecycle.companions import LEAST_NICE, Companion
from lifecycle.exceptions import LifecycleError
from lifecycle.instance import Instance
from lifecycle.knobs import KnobError, KnobTable
from lifecycle.listeners import wrap
from lifecycle.phases import Phase
from lifecycle.versions import code_version

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger(__name__)


class WarmupError(LifecycleError):
    """The warmup has failed by a bug; its traceback has been logged."""


_knobs: dict[str, Any] = {}
_version = ""
_instance: Instance | None = None


def read_knobs(table: KnobTable, project: Path) -> dict[str, Any]:
    """
    Return the knobs of the environment; a bad one ends the process with status 2.

    Args:
        table: the project's knobs.
        project: the folder of the code, whose version is told to peers.
    """
    global _version
    try:
        _knobs.update(table.load(os.environ))
    except KnobError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(2)
    _version = _knobs["RELEASE"] or code_version(project)
    return _knobs


def current() -> Instance:
    """Return the instance of this process: the master's, or a child's copy of it."""
    if _instance is None:
        raise RuntimeError("no instance runs in this process")
    return _instance


def _refuse_start(error: LifecycleError) -> NoReturn:
    logger.error("event=start_refused reason=%s", logs.quoted(error))
    if _instance is not None:
        _instance.close()
    sys.exit(1)


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """Answer probes from the first moment; later changes are of no concern here."""
    global _instance
    if _instance is not None:
        return
    logs.configure()
    limits.raise_open_files()
    _instance = Instance(_knobs, _version)
    _instance.workers_wanted = new_value
    # gunicorn leaves without on_exit when it crashes, or the application does.
    atexit.register(_instance.close)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _stop_before_standby)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, _refuse_before_standby)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # no log file is open here
    try:
        _instance.open()
    except LifecycleError as exc:
        _refuse_start(exc)


def _stop_before_standby(number: int, frame: FrameType | None) -> None:
    """Nothing serves yet, so there is nothing to drain: end at once."""
    instance = current()
    try:
        if os.getpid() == instance.master_pid:
            logger.info(
                "event=stopped_before_standby signal=%s phase=%s",
                signal.Signals(number).name,
                instance.phases.phase.value,
            )
            instance.close()
    finally:
        # Children of the warmup end with this process (PR_SET_PDEATHSIG). Logging
        # inside a handler may fail, and the end must come all the same.
        os._exit(0)


def _refuse_before_standby(number: int, frame: FrameType | None) -> None:
    if os.getpid() == current().master_pid:
        refuse(signal.Signals(number).name)


def on_starting(server: Any) -> None:
    """Warm up, then open the public port. Nothing is forked while this runs but by it."""
    instance = current()
    InstanceArbiter.adopt(server, instance)
    try:
        instance.phases.transition(Phase.WARMING, instance=instance.id)
        _warm(instance)
        # Children share what they do not touch; a collector would touch all of it.
        gc.collect()
        gc.freeze()
        _make_companions(instance)
        sockets = instance.public.open(os.environ)
        server.LISTENERS = wrap(
            [*sockets, instance.listen_forward()], server.cfg, server.log
        )
        instance.public.adopt(server.LISTENERS)
    except LifecycleError as exc:
        _refuse_start(exc)
    except Exception:
        logger.exception("event=warmup_failed")
        _refuse_start(WarmupError("The warmup has failed; the traceback says where."))


def _warm(instance: Instance) -> None:
    from django.db import connections

    from lifecycle import (
        database,
        gate,
        litestream,
        preloading,
        schema,
        warmup,
        writer_main,
    )

    try:
        gate.set_authority(gate.NoAuthority())
        database.check()
        litestream.refuse_conflicts(instance.knobs, database.conf.database_path)
        instance.known_migrations = schema.known()
        older_lives = instance.lives_beside_older()
        if not database.exists():
            # Nobody can have served from here, so nobody is kept from writing.
            _make_database(instance, older_lives=older_lives)
        _warn_of_memory(instance)
        context = warmup.WarmupContext(
            instance.report,
            has_peers=bool(instance.living_peers()),
            become_child=lambda: instance.become_child(keep_listeners=False),
        )
        with contextlib.ExitStack() as stack:
            verdicts = schema.pending()
            schema.refuse_breaking(
                verdicts,
                older_lives=older_lives,
                allowed=instance.knobs["ALLOW_BREAKING_MIGRATIONS"],
            )
            if verdicts:
                scratch = instance.run_dir.path / f".{instance.id}.rehearsal"
                names = [verdict.name for verdict in verdicts]
                stack.enter_context(database.rehearsed(scratch, names, instance.report))
            warmup.run_tasks(context)
        preloading.load_code()
        writer_main.preload()
    except database.DatabaseError as exc:
        raise database.unfit(exc) from exc
    finally:
        connections.close_all()


def _make_companions(instance: Instance) -> None:
    """Make what works beside the workers; the first fork comes later."""
    from django.utils.module_loading import import_string

    from lifecycle.conf import conf

    instance.companions = [
        Companion(instance, path, import_string(path)()) for path in conf.companions
    ]
    instance.after_ready = [
        Companion(instance, path, import_string(path), is_once=True, nice=LEAST_NICE)
        for path in conf.after_ready
    ]


def _make_database(instance: Instance, *, older_lives: bool) -> None:
    """Restore, or migrate from nothing, under the slot; or wait until a peer has."""
    from lifecycle import database, litestream, schema, silence
    from lifecycle.backup import restoring
    from lifecycle.backup.conf import backup_conf

    while not instance.slot.try_acquire():
        if database.exists():
            return
        instance.report(0, 0, f"waiting for {instance.slot.describe_holder()}")
        time.sleep(0.1)
    if database.exists():
        return
    # Both give up on a store that does not answer.
    with silence.filled(instance.report, "looking for a backup") as report:
        if backup_conf.is_scheduled:
            restoring.restore_at_start(
                lambda what, done, total: report(
                    done >> 20, total >> 20, f"{'MB ' if total >> 20 else ''}{what}"
                )
            )
        litestream.restore_at_start(report)
    schema.migrate(instance.knobs, older_lives=older_lives)


def _warn_of_memory(instance: Instance) -> None:
    """Say so when a peer takes more memory than there is left for this instance."""
    from lifecycle import peers
    from lifecycle.memory import available_memory

    available = available_memory()
    for peer in peers.living(instance.run_dir, but=instance.id):
        try:
            needed = int(peers.ask(instance.run_dir, peer, "/status")["resident_bytes"])
        except (OSError, KeyError):
            continue
        if available < needed:
            logger.warning(
                "event=memory_short available_mb=%d peer=%s peer_mb=%d",
                available >> 20,
                peer.id,
                needed >> 20,
            )


def when_ready(server: Any) -> None:
    """Stand by: workers are forked next, and the slot is asked for."""
    instance = current()
    for hazard in hazards.find(instance.knobs, reuse_port=server.cfg.reuse_port):
        logger.warning(
            "event=hazard id=%s text=%s hint=%s",
            hazard.id,
            logs.quoted(hazard.text),
            logs.quoted(hazard.hint),
        )
    instance.stand_by()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker its place in the shared page."""
    worker.instance = current()
    worker.slot = current().page.claim()


def post_worker_init(worker: Any) -> None:
    """Let the application prepare the worker, before it accepts."""
    from django.utils.module_loading import import_string

    from lifecycle import gate
    from lifecycle.conf import conf
    from lifecycle.worker_state import WorkerState, set_state
    from lifecycle.writes import make_seats

    instance = current()
    gate.set_authority(gate.WorkerAuthority(instance.page))
    set_state(
        WorkerState(
            instance_id=instance.id,
            page=instance.page,
            slot=worker.slot,
            run_dir=instance.run_dir,
            seats=make_seats(worker.cfg.threads),
        )
    )
    for path in conf.worker_starters:
        try:
            import_string(path)()
        except Exception:  # an exception here would halt the whole server
            logger.exception("event=worker_starter_failed starter=%s", path)


def worker_int(worker: Any) -> None:
    """Log that requests may be lost: an operator asked for it."""
    logger.warning("event=worker_stopped_at_once connections=%d", worker.nr_conns)


def child_exit(server: Any, worker: Any) -> None:
    """Free the worker's place in the shared page."""
    current().page.release(worker.slot)


def on_exit(server: Any) -> None:
    """Leave: the writer first, then the slot, then the files of this instance."""
    current().close()
