"""
gunicorn, with a place in the handoff at which a process of it dies.

    python -m tests.deploys.dying STEP [gunicorn's arguments]

The place is a function of lifecycle's: its process is killed, as by kill -9, right
before or right after it has run. The places of a worker, all of them with STEP
'worker', are passed by many: there the file `fault` in the data directory names the
step and the signal, and the first to come there takes it away. Nothing of the product
knows of this.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Of the new instance: which process dies, and where.
STEPS = {
    "asker, before it asks": ("before", "lifecycle.keeper:SlotKeeper.ask_holder"),
    "asker, once it was granted": ("after", "lifecycle.peers:post"),
    "taker, with the lock": ("before", "lifecycle.keeper:SlotKeeper.tell_writer"),
    "writer, before the epoch": ("before", "lifecycle.epochs:begin"),
    "writer, with the epoch": ("after", "lifecycle.epochs:begin"),
    "writer, once migrated": ("after", "lifecycle.schema:migrate"),
    "taker, before it is ready": ("before", "lifecycle.instance:Instance.hold"),
    "taker, once it is ready": ("after", "lifecycle.instance:Instance.hold"),
    # Of the old one.
    "holder, when it is asked": ("before", "lifecycle.keeper:SlotKeeper.objection"),
    "holder, once it has closed": (
        "after closing",
        "lifecycle.keeper:SlotKeeper.set_closing",
    ),
    "writer, before the release": ("before", "lifecycle.epochs:end"),
    "writer, once released": ("after", "lifecycle.epochs:end"),
    "holder, before it unlocks": (
        "before letting go",
        "lifecycle.keeper:SlotKeeper.unlock",
    ),
    "holder, before it answers": ("before", "lifecycle.keeper:SlotKeeper.answer"),
    # Of whoever writes.
    "worker, before its transaction": ("before", "lifecycle.writes:_Write.run_here"),
    "worker, in its transaction": ("after", "lifecycle.writes:_Write._call"),
    "worker, once committed": ("before", "lifecycle.writes:_Write._note_sequence"),
}
_CONDITIONS: dict[str, Callable[..., bool]] = {
    "after closing": lambda keeper, closing: closing,
    "before letting go": lambda keeper: keeper._instance.slot.is_held,
}
OF_THE_NEW = tuple(STEPS)[:8]
OF_THE_OLD = tuple(STEPS)[8:14]
OF_A_WORKER = tuple(STEPS)[14:]


WORKER = "worker"


def place_fault(data_dir: Path, step: str, number: signal.Signals) -> None:
    """Let the next worker that comes to *step* get the signal *number*."""
    ready = data_dir / "fault.new"
    ready.write_text(f"{step}|{int(number)}")
    ready.rename(data_dir / "fault")


def is_placed(data_dir: Path) -> bool:
    """Return whether nobody has come to the step yet."""
    return (data_dir / "fault").exists()


def take_fault(data_dir: Path, step: str) -> int:
    """Return the signal that was placed at *step*, for one only; 0 for none."""
    fault, taken = data_dir / "fault", data_dir / f"fault.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        where, _, number = fault.read_text().partition("|")
        if where == step:
            fault.rename(taken)
            return int(number)
    return 0


def arm(step: str) -> None:
    """Let whoever comes to *step* die there."""
    when, place = STEPS[step]
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def dying(*args: Any, **kwargs: Any) -> Any:
        is_here = _CONDITIONS.get(when, lambda *args: True)(*args)
        if is_here and when.startswith("before"):
            strike(step)
        result = original(*args, **kwargs)
        if is_here and when.startswith("after"):
            strike(step)
        return result

    setattr(owner, name, dying)


def strike(step: str) -> None:
    """Die, or stop, here."""
    number = int(signal.SIGKILL)
    if step in OF_A_WORKER:
        number = take_fault(Path(os.environ["DATA_DIR"]), step)
    if number:
        os.kill(os.getpid(), number)


def main() -> None:
    """Arm, then become gunicorn in this process."""
    step, *arguments = sys.argv[1:]
    sys.argv = ["gunicorn", *arguments]
    steps = OF_A_WORKER if step == WORKER else (step,)
    needs_django = ("lifecycle.epochs", "lifecycle.schema", "lifecycle.writes")
    if STEPS[steps[0]][1].startswith(needs_django):
        # They need Django: armed when the application has been loaded.
        from lifecycle import hooks

        stand_by = hooks.when_ready

        def when_ready(server: Any) -> None:
            for one in steps:
                arm(one)
            stand_by(server)

        hooks.when_ready = when_ready
    else:
        arm(step)
    from gunicorn.app.wsgiapp import run

    run()


if __name__ == "__main__":
    main()
