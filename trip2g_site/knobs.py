"""Every knob of the site: those of the lifecycle, and those of the notes."""

from __future__ import annotations

from lifecycle.knobs import KNOBS as LIFECYCLE_KNOBS
from lifecycle.knobs import (
    InvalidValueError,
    Knob,
    KnobTable,
    boolean,
    path,
    text,
    web_address,
)

_EXCLUDED = "Templates/"


def globs(value: str) -> tuple[str, ...]:
    """Return *value*, globs with commas between, each one that a sync understands."""
    found = tuple(filter(None, (glob.strip() for glob in value.split(","))))
    if value != _EXCLUDED:
        # Imported late: the probes answer before what is not needed is there.
        from notes.exceptions import VaultError
        from notes.vault import compile_exclude

        try:
            compile_exclude(found)
        except VaultError as exc:
            raise InvalidValueError(
                "globs as in a .gitignore, with commas between, such as "
                "'Templates/,*.tmp.md'"
            ) from exc
    return found


def time_zone(value: str) -> str:
    """Return *value*, the name of a time zone that there is."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as exc:  # as the file is, or is not, found
        raise InvalidValueError(
            "the name of a time zone, such as 'UTC' or 'Europe/Berlin'"
        ) from exc
    return value


NOTES_KNOBS = KnobTable(
    Knob("VAULT_DIR", path, "", "synced at start and watched by the writer"),
    Knob(
        "PUBLIC_URL",
        web_address,
        "http://localhost:8080",
        "for absolute links; its host is an allowed host",
    ),
    Knob(
        "EXCLUDE",
        globs,
        _EXCLUDED,
        "globs of notes to leave out, with commas between",
    ),
    Knob(
        "TIME_ZONE",
        time_zone,
        "UTC",
        "in which dates of notes are meant that name none",
    ),
    Knob("DEBUG", boolean, "false", "Django's DEBUG; for development only"),
    Knob(
        "SECRET_KEY",
        text,
        "",
        "Django's SECRET_KEY; else one is made and kept in DATA_DIR",
        secret=True,
    ),
)

KNOBS = LIFECYCLE_KNOBS + NOTES_KNOBS
