"""
What an instance may need of its code, imported before its first fork.

A release's folder may be replaced, or deleted, while the instance runs: workers and
writer processes are forked from the master, and must find nothing left to import.
"""

from __future__ import annotations

import importlib
import pkgutil

from django.urls import get_resolver
from django.utils.module_loading import import_string

import lifecycle
from lifecycle import schema
from lifecycle.conf import conf


def load_code() -> None:
    """Import lifecycle, the views, and what settings name; read the migrations."""
    for module in pkgutil.iter_modules(lifecycle.__path__, "lifecycle."):
        if not module.ispkg:  # commands and migrations are no part of an instance
            importlib.import_module(module.name)
    for path in (*conf.worker_starters, conf.sequence):
        if path:
            import_string(path)
    _ = get_resolver().url_patterns
    schema.keep_migrations()
