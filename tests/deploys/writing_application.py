"""The small site behind the write gate: writes that take as long as a test wants."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.deploys.application import StartResponse, note, wait_for
from tests.deploys.application import application as reading

from django.conf import settings  # isort: skip - after Django is set up

from lifecycle.writes import WriteGate  # isort: skip


def write(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer a PUT with its body's size, once the file 'let-writes-go' is there."""
    if environ["REQUEST_METHOD"] != "PUT":
        return reading(environ, start_response)
    body = environ["wsgi.input"].read()
    note("write")
    wait_for(Path(settings.DATA_DIR) / "let-writes-go")
    answer = str(len(body)).encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


application = WriteGate(write)
