"""manage.py serve, as `manage.py help` shows it."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.module_loading import import_string

from lifecycle.serve import add_flags, main


class Command(BaseCommand):
    """
    Serve the site by gunicorn.

    manage.py hands `serve` to `lifecycle.serve` before Django is imported; this
    class is for `manage.py help`, and for a manage.py that does not.
    """

    help = "Serve the site by gunicorn: warm up, serve, hand over, drain."
    requires_system_checks = []  # noqa: RUF012 - Django's own attribute

    def add_arguments(self, parser: CommandParser) -> None:
        """Add a flag for each knob."""
        add_flags(parser, import_string(settings.LIFECYCLE_KNOBS))

    def handle(self, *args: Any, **options: Any) -> None:
        """Become gunicorn."""
        main(import_string(settings.LIFECYCLE_KNOBS), sys.argv[2:])
