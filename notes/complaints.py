"""Complaints: what a command says when it fails for a reason that is not its own."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import DatabaseError


def complaint(error: Exception) -> CommandError:
    """
    Return what to raise, from *error*, for whoever typed the command.

    An exception with a `returncode`, of this app or of the one that decides who may
    write, has a message for that person.

    Raises:
        Exception: *error* itself, when it is a fault of the program.
    """
    returncode = getattr(error, "returncode", None)
    if returncode is not None:
        return CommandError(str(error), returncode=returncode)
    if isinstance(error, DatabaseError):
        text = str(error)
        if "locked" in text:
            return CommandError(f"The database says: {text}. Try again.", returncode=3)
        if "no such table" in text or "no such column" in text:
            return CommandError(
                f"The database says: {text}. It lacks tables that this version needs; "
                "run: python manage.py migrate"
            )
        # With a full stop it is a sentence for people already, and not SQLite's own.
        return CommandError(
            text if text.endswith(".") else f"The database says: {text}."
        )
    if isinstance(error, OSError):
        return CommandError(str(error))
    raise error
