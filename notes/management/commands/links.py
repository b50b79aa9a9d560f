"""links: which links of the site mean nothing, or more than one thing."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from notes.complaints import complaint
from notes.link_report import AMBIGUOUS, LinkProblem, find_problems
from notes.looking import catch_up
from notes.models import Note


class Command(BaseCommand):
    """
    Parses and prints; `notes.link_report` does the work.

    Exit codes: 0 done; 1 failed, or with --strict that there are such links.
    """

    help = "Lists the links that lead nowhere, and those that may mean several notes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the flags."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--strict", action="store_true", help="exit with 1 if there is any"
        )

    def handle(self, **options: Any) -> None:
        """
        List the links.

        Raises:
            CommandError: the database cannot be read; with --strict, there are some.
        """
        try:
            site = catch_up(None)
            paths = set(Note.objects.values_list("path", flat=True))
        except DatabaseError as exc:
            raise complaint(exc) from exc
        problems = list(find_problems(site, paths - site.facts.keys()))
        if options["json"]:
            found = [problem._asdict() for problem in problems]
            self.stdout.write(json.dumps(found, ensure_ascii=False))
        else:
            for problem in problems:
                self.stdout.write(_line(problem))
            counts = Counter(problem.problem for problem in problems)
            said = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
            self.stdout.write(f"{len(site.facts)} notes: {said or 'no such links'}")
        if options["strict"] and problems:
            raise CommandError(f"{len(problems)} links are not clear.")


def _line(problem: LinkProblem) -> str:
    line = f"{problem.note}: [[{problem.target}]] {problem.problem}"
    if problem.problem == AMBIGUOUS:
        first, *others = problem.candidates
        line += f": leads to {first}, not {', '.join(others)}"
    return line
