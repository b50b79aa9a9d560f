"""The sample's knobs: those of lifecycle, and nothing more."""

from __future__ import annotations

from lifecycle.knobs import KNOBS

__all__ = ["KNOBS"]
