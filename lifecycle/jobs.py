"""
Run work where the writer is.

While an instance holds the writer slot, commands hand their work to it and
never write beside it. With no holder a command takes the slot for its run.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string

from lifecycle import database, gate, peers
from lifecycle.conf import conf
from lifecycle.exceptions import JobFailedError, WriterBusyError
from lifecycle.guests import GuestAuthority

Progress = Callable[[dict[str, Any]], None]

_RETRY_SECONDS = 0.1
# How long the writer may take to say that it has the job, in seconds.
_ACCEPT_LIMIT = 5.0
# A job says something at least this often, or its instance is gone, in seconds.
_SILENCE_LIMIT = 600.0


def run_as_writer(
    name: str, params: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """
    Run the job *name* of LIFECYCLE_JOBS as the writer, and return its result.

    Called by management commands. *params* and the result are plain JSON.

    Raises:
        DatabaseUnfitError: no instance lives, and the database is not what this needs.
        WriterBusyError: no writer could be had in time; says who holds the slot.
        JobFailedError: the job itself refused or failed.
    """
    run_dir = peers.RunDir(conf.data_dir)
    guest = GuestAuthority(conf.data_dir, f"manage.py {name}")
    deadline = time.monotonic() + conf.job_timeout
    while True:
        if not peers.living(run_dir):
            database.check_for_command()
        if guest.take():
            gate.set_authority(guest)
            try:
                result: dict[str, Any] = import_string(conf.jobs[name])(
                    params, progress
                )
                return result
            finally:
                guest.release()
        for peer in peers.living(run_dir):
            connection = _connect(run_dir, peer)
            if connection is not None:
                return _hand_over(connection, peer, name, params, progress)
        if time.monotonic() >= deadline:
            raise WriterBusyError(
                f"The writer slot is held by {guest.describe_holder()}, which takes no "
                f"work now (waited {conf.job_timeout:g} s). Try again when it is done."
            )
        time.sleep(_RETRY_SECONDS)


def _connect(run_dir: peers.RunDir, peer: peers.Peer) -> socket.socket | None:
    """Return a connection to the job socket of *peer*; only the holder has one."""
    try:
        return run_dir.connect(f"{peer.id}.job", timeout=_ACCEPT_LIMIT)
    except OSError:
        return None


def _hand_over(
    connection: socket.socket,
    peer: peers.Peer,
    name: str,
    params: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    with connection, connection.makefile("rwb") as stream:
        try:
            stream.write(json.dumps({"name": name, "params": params}).encode() + b"\n")
            stream.flush()
            for line in stream:
                message = json.loads(line)
                if "accepted" in message:
                    connection.settimeout(_SILENCE_LIMIT)
                elif "progress" in message:
                    progress(message["progress"])
                elif "result" in message:
                    result: dict[str, Any] = message["result"]
                    return result
                else:
                    kind = (
                        WriterBusyError
                        if message["returncode"] == 3
                        else JobFailedError
                    )
                    raise kind(message["error"], returncode=message["returncode"])
        except (OSError, ValueError) as exc:
            raise WriterBusyError(
                f"Instance {peer.id} (pid {peer.record.get('pid')}) stopped answering "
                f"during {name}; run it again to see what was done."
            ) from exc
    raise WriterBusyError(
        f"Instance {peer.id} (pid {peer.record.get('pid')}) went away during {name}; "
        "run it again."
    )
