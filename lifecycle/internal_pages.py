"""
What an instance answers: its probes, and its pages for peers and operators.

The internal port has the probes; the control socket has them too, and what only the
user of the data directory may ask or tell. Threads of the internal server run this:
it reads plain attributes and the shared page.
"""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle import peers, probes
from lifecycle.keeper import parse_ask
from lifecycle.phases import Phase
from lifecycle.probes import Answer, Check, Environ

if TYPE_CHECKING:
    from lifecycle.instance import Instance

# /livez fails when gunicorn's loop has been silent for this long, in seconds.
LOOP_SILENCE_LIMIT = 30.0
# A worker that has been silent for this long does not answer, in seconds.
WORKER_SILENCE_LIMIT = 4.0
# Health checks that may run at once: a worker that hangs must not take the place
# of the other probes.
_MAX_HEALTH_CHECKS = 8


class InternalPages:
    """The probes and the control pages of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._health_checks = threading.BoundedSemaphore(_MAX_HEALTH_CHECKS)

    def application(self, *, is_control: bool) -> probes.ProbeApplication:
        """Return what answers on the internal port, or on the control socket."""
        checks = {"/livez": self.livez, "/readyz": self.readyz}
        pages = {"/healthz": self.healthz}
        if not is_control:
            return probes.ProbeApplication(checks, pages, {})
        return probes.ProbeApplication(
            checks,
            {**pages, "/status": self._status_page, "/identity": self._identity_page},
            {
                "/slot": self._slot_page,
                "/retire": self._retire_page,
                "/unsteer": self._unsteer_page,
            },
        )

    def livez(self) -> Iterator[Check]:
        """Check that the main loop runs; warmup and drain do not count."""
        phase = self._instance.phases.phase
        silent = time.monotonic() - self._instance.loop_beat
        looping = phase in {Phase.STANDBY, Phase.READY}
        ok = not looping or silent < LOOP_SILENCE_LIMIT
        yield Check("loop", ok, "" if ok else f"silent for {silent:.0f} s")

    def readyz(self) -> Iterator[Check]:
        """Check that this instance should get readers."""
        phase = self._instance.phases.phase
        yield self._check_phase(phase)
        if phase in {Phase.STANDBY, Phase.READY, Phase.DRAINING}:
            yield self._check_workers()
        if phase in {Phase.STANDBY, Phase.READY}:
            yield self._check_slot(phase)

    def _check_phase(self, phase: Phase) -> Check:
        if phase in {Phase.STANDBY, Phase.READY}:
            return Check("phase", True, phase.value)
        progress = str(self._instance.progress)
        if phase is Phase.WARMING and progress:
            return Check("phase", False, f"{phase.value}: {progress}")
        return Check("phase", False, phase.value)

    def _check_workers(self) -> Check:
        booted = [slot for slot in self._instance.page.workers() if slot.booted]
        if not self._instance.workers_have_booted():
            wanted = self._instance.workers_wanted
            return Check("workers", False, f"workers: {len(booted)}/{wanted} booted")
        answering = [
            slot for slot in booted if slot.silent_seconds() < WORKER_SILENCE_LIMIT
        ]
        text = f"workers: {len(answering)} of {len(booted)} answer"
        return Check("workers", bool(answering), text)

    def _check_slot(self, phase: Phase) -> Check:
        if phase is Phase.READY:
            return Check("slot", True, "writer slot held")
        keeper = self._instance.keeper
        if keeper is not None and keeper.was_demoted and keeper.holder.answers:
            why = keeper.refusal or "given away"
            return Check("slot", True, f"writer slot: {why}; writes are forwarded")
        if keeper is not None and keeper.unfit:
            text = "no writer slot: the database is newer than this code; reads only"
            return Check("slot", True, text)
        waited = self._instance.phases.seconds
        if waited < self._instance.knobs["WRITER_ACQUIRE_TIMEOUT"]:
            return Check(
                "slot", False, f"standby: waiting for the writer slot, {waited:.0f} s"
            )
        return Check("slot", True, "no writer slot: reads only")

    def healthz(self, environ: Environ) -> Answer:
        """Let a worker run the health checks; the master runs no Django code."""
        phase = self._instance.phases.phase
        if phase in {Phase.STARTING, Phase.WARMING}:
            return probes.text_answer("200 OK", phase.value)
        if phase in {Phase.DRAINING, Phase.STOPPED}:
            return probes.text_answer("503 Service Unavailable", "draining")
        if not self._health_checks.acquire(blocking=False):
            busy = f"{_MAX_HEALTH_CHECKS} health checks run already"
            return probes.text_answer("503 Service Unavailable", busy)
        try:
            return self._ask_worker(environ)
        finally:
            self._health_checks.release()

    def _ask_worker(self, environ: Environ) -> Answer:
        query = environ.get("QUERY_STRING", "")
        accept = environ.get("HTTP_ACCEPT", "")
        # Whoever asks for anything gets text; browsers name HTML.
        wanted = accept if accept not in {"", "*/*"} else "text/plain"
        # A child forked meanwhile has a copy of the connection: its end is announced.
        headers = {"Accept": wanted, "Connection": "close"}
        connection = peers.UnixConnection(
            self._instance.run_dir, f"{self._instance.id}.fwd", timeout=8.0
        )
        try:
            connection.request("GET", f"/healthz?{query}", headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return probes.text_answer("503 Service Unavailable", "workers: no answer")
        finally:
            connection.close()
        content_type = response.getheader("Content-Type") or "text/plain"
        return Answer(f"{response.status} {response.reason}", content_type, body)

    def _slot_page(self, environ: Environ) -> Answer:
        """Answer a peer that asks for the writer slot; waits for the release."""
        keeper = self._instance.keeper
        if keeper is None:
            refusal, holds = "this instance is still starting", False
        else:
            holds = self._instance.slot.is_held
            try:
                refusal = keeper.receive(parse_ask(probes.json_body(environ)))
            except ValueError as exc:
                return probes.json_answer("400 Bad Request", {"error": str(exc)})
        return probes.json_answer("200 OK", {"refusal": refusal, "holds": holds})

    def _retire_page(self, environ: Environ) -> Answer:
        """Drain, because an operator or a successor asked over the control socket."""
        os.kill(self._instance.master_pid, signal.SIGTERM)
        return probes.json_answer("200 OK", {"retiring": True})

    def _unsteer_page(self, environ: Environ) -> Answer:
        """Take a dead peer's program off the reuseport group."""
        self._instance.public.unsteer()
        return probes.json_answer("200 OK", {})

    def _status_page(self, environ: Environ) -> Answer:
        return probes.json_answer("200 OK", self.status())

    def status(self) -> dict[str, Any]:
        """Return what peers and operators ask of this instance, as JSON has it."""
        instance = self._instance
        return {
            "id": instance.id,
            "pid": instance.master_pid,
            "version": instance.version,
            "phase": instance.phases.phase.value,
            "phase_seconds": round(instance.phases.seconds, 3),
            "started_at": instance.started_at,
            "progress": str(instance.progress),
            "public": instance.public.shown,
            "listener": instance.public.kind,
            "internal": str(instance.knobs["INTERNAL_LISTEN_ADDR"]),
            "workers": [slot.pid for slot in instance.page.workers() if slot.booted],
            "holds_slot": instance.page.epoch > 0 or instance.slot.is_held,
            "takes_jobs": instance.page.epoch > 0,
            "epoch": instance.page.epoch,
            "writer": instance.keeper.writer.pid if instance.keeper is not None else 0,
            "companions": [
                companion.pid
                for companion in (
                    *instance.companions,
                    *instance.after_ready,
                )
                if companion.pid
            ],
            **instance.write_counts(),
            "resident_bytes": _resident_bytes(),
        }

    def _identity_page(self, environ: Environ) -> Answer:
        """Return this instance's ask for the slot, for an operator to hand in."""
        return probes.json_answer("200 OK", self._instance.ask())


def _resident_bytes() -> int:
    """Return this process's resident memory; see proc_pid_statm(5)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
