"""token: make, list and revoke the tokens that let people write notes."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from notes.complaints import complaint
from notes.models import ApiToken
from notes.tokens import create_token, revoke_token


class Command(BaseCommand):
    """
    Parses and prints; `notes.tokens` does the work.

    Exit codes: 0 done; 1 failed, as when there is no such token; 2 the name cannot
    be one; 3 not now.
    """

    help = "Makes, lists and revokes the tokens of the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the actions."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for action, text in (
            ("create", "make a token called NAME, and show it this once"),
            ("list", "show the names of the tokens, and how each begins"),
            ("revoke", "let the token called NAME be of no use from now on"),
        ):
            added = actions.add_parser(action, help=text, description=text)
            added.add_argument("--json", action="store_true", help="print JSON")
            if action != "list":
                added.add_argument("name", metavar="NAME")

    def handle(self, *, action: str, name: str = "", **options: Any) -> None:
        """
        Run the action.

        Raises:
            CommandError: it could not be done; nothing was changed.
        """
        self._as_json: bool = options["json"]
        try:
            if action == "create":
                self._create(name)
            elif action == "revoke":
                self._revoke(name)
            else:
                self._list()
        except Exception as exc:
            raise complaint(exc) from exc

    def _create(self, name: str) -> None:
        token = create_token(name)
        if self._as_json:
            self._print_json({"name": name, "token": token})
            return
        self.stdout.write(token)
        if self.stderr.isatty():
            self.stderr.write("Keep it: it is shown this once.")

    def _revoke(self, name: str) -> None:
        revoke_token(name)
        if self._as_json:
            self._print_json({"name": name, "revoked": True})
        else:
            self.stdout.write(f"revoked {name}")

    def _list(self) -> None:
        rows = [
            {
                "name": token.name,
                "prefix": token.prefix,
                "created_at": token.created_at.isoformat(timespec="seconds"),
            }
            for token in ApiToken.objects.all()
        ]
        if self._as_json:
            self._print_json(rows)
            return
        for row in rows:
            self.stdout.write(f"{row['prefix']}…  {row['created_at']}  {row['name']}")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False))
