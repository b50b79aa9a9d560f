"""The composition root: names notes and lifecycle, and wires them together."""

from __future__ import annotations
