"""System checks: what lifecycle needs of a project's settings."""

from __future__ import annotations

import os
import shlex
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from lifecycle import hazards

E001 = Error(
    "The default database does not use lifecycle's backend, so nothing keeps two "
    "processes from writing at once.",
    hint='Set DATABASES["default"]["ENGINE"] to "lifecycle.sqlite".',
    id="lifecycle.E001",
)
E002 = Error(
    "LIFECYCLE_DATA_DIR or LIFECYCLE_DATABASE is not set.",
    hint='Set them to the data directory and to DATABASES["default"]["NAME"].',
    id="lifecycle.E002",
)


def check_hazards(**kwargs: Any) -> list[CheckMessage]:
    """Return what would lose requests here; for `check --deploy`."""
    return [
        checks.Warning(hazard.text, hint=hazard.hint, id=hazard.id)
        for hazard in hazards.find(
            import_string(settings.LIFECYCLE_KNOBS).load(os.environ),
            reuse_port=_has_reuse_port(os.environ.get("GUNICORN_CMD_ARGS", "")),
        )
    ]


def _has_reuse_port(arguments: str) -> bool:
    """Return whether gunicorn's *arguments*, a line of a shell, turn reuse_port on."""
    from gunicorn.config import Config

    try:
        words = shlex.split(arguments)
    except ValueError:  # gunicorn says so at the start
        return False
    known, _ = Config().parser().parse_known_args(words)
    return bool(known.reuse_port)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings."""
    messages: list[CheckMessage] = []
    if settings.DATABASES.get("default", {}).get("ENGINE") != "lifecycle.sqlite":
        messages.append(E001)
    if not all(
        hasattr(settings, name) for name in ("LIFECYCLE_DATA_DIR", "LIFECYCLE_DATABASE")
    ):
        messages.append(E002)
    return messages
