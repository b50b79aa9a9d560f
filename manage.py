#!/usr/bin/env python
"""Run a management command; `serve` is handed to gunicorn before Django is imported."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command that the command line names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trip2g_site.settings")
    from lifecycle.knobs import KnobError
    from trip2g_site.knobs import KNOBS

    try:
        if sys.argv[1:2] == ["serve"]:
            # The probes answer within a second of the start, and Django's own
            # start takes a good part of that: serve does without it.
            from lifecycle.serve import main as serve

            serve(KNOBS, sys.argv[2:])
            return
        KNOBS.load(os.environ)
    except KnobError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(2)
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from lifecycle.unfit import is_unfit

    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read it, as `head`, has gone. Nor may it be told at the exit's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except DatabaseError as exc:
        if not is_unfit(exc):
            raise
        sys.stderr.write(f"{exc}\n")
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # while it imports, too
        sys.exit(128 + signal.SIGINT)
