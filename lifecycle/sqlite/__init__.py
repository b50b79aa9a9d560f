"""A database backend: Django's for SQLite, with the write gate."""

from __future__ import annotations
