"""`manage.py serve`: knobs as flags, then gunicorn, without Django in between."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from lifecycle.knobs import KnobTable


def make_parser(
    knobs: KnobTable, prog: str = "manage.py serve"
) -> argparse.ArgumentParser:
    """Return a parser with a flag for each knob that is no secret."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve the site by gunicorn. A flag wins over its variable.",
        allow_abbrev=False,
    )
    add_flags(parser, knobs)
    return parser


def add_flags(parser: argparse.ArgumentParser, knobs: KnobTable) -> None:
    """Add a flag for each knob that is no secret to *parser*."""
    for knob in knobs:
        if knob.secret:
            continue
        shown = f" (default {knob.default})" if knob.default else ""
        parser.add_argument(
            knob.flag,
            dest=knob.name,
            metavar="VALUE",
            # A bare --flag is true, as in Go.
            nargs="?" if knob.is_boolean else None,
            const="true" if knob.is_boolean else None,
            help=f"{knob.help}{shown}".replace("%", "%%"),
        )


def main(knobs: KnobTable, arguments: list[str]) -> NoReturn:
    """
    Become gunicorn, with *arguments* as knobs.

    The process stays the same, so that LISTEN_PID, a supervisor's pid and PID 1
    stay right.

    Raises:
        KnobError: a value does not parse.
    """
    values = vars(make_parser(knobs).parse_args(arguments))
    environ = dict(os.environ)
    environ.update({name: value for name, value in values.items() if value is not None})
    knobs.load(environ)
    project = Path(sys.argv[0]).resolve().parent
    environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(project), environ.get("PYTHONPATH", "")])
    )
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(project / "gunicorn.conf.py"),
    ]
    os.execve(sys.executable, command, environ)  # noqa: S606 - no shell is wanted
