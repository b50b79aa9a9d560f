"""Jobs that the sample's writer runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lifecycle.sample.models import Entry

Progress = Callable[[dict[str, Any]], None]


class RefusedError(Exception):
    """A refusal with an exit code of its own."""

    returncode = 3


def count(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write *entries* lines; return how many there are, and who wrote them."""
    for number in range(params["entries"]):
        Entry.objects.create(text=str(number))
        progress({"done": number + 1})
    return {"entries": Entry.objects.count(), "pid": os.getpid()}


def fail(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Fail as a program does that has a bug."""
    raise ValueError("something private")


def refuse(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Refuse as a job does that knows why."""
    raise RefusedError("would remove 11 of 12 entries; add --delete")


def wait(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Say *lines* lines; make the file *began*, and wait for the file *go*."""
    Path(params["began"]).touch()
    for number in range(params.get("lines", 0)):
        progress({"done": number, "padding": "x" * params.get("padding", 0)})
    while not Path(params["go"]).exists():
        time.sleep(0.02)
    return {"waited": True}


def not_json(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Return what JSON cannot say."""
    return {"path": Path("/")}
