"""
A small Django project that installs lifecycle and knows nothing of notes.

What its tests vary comes in by SAMPLE_* environment variables.
"""

from __future__ import annotations
