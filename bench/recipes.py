"""The files of deploy/, as a row or a test runs them: with ports and paths of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench.instance import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


class RecipeError(Exception):
    """A recipe does not say what is to be replaced in it."""


def render(name: str, changes: Mapping[str, str]) -> str:
    """
    Return the file *name* of deploy/, each key of *changes* replaced by its value.

    Raises:
        RecipeError: it has none of one of them.
    """
    text = (DEPLOY / name).read_text(encoding="utf-8")
    missing = [old for old in changes if old not in text]
    if missing:
        raise RecipeError(f"deploy/{name} does not say {missing[0]!r}.")
    if not changes:
        return text
    longest_first = sorted(changes, key=len, reverse=True)
    pattern = "|".join(re.escape(old) for old in longest_first)
    return re.sub(pattern, lambda found: changes[found[0]], text)


def install(name: str, path: Path, changes: Mapping[str, str]) -> Path:
    """Write what `render` returns to *path*; return that."""
    path.write_text(render(name, changes), encoding="utf-8")
    return path


def environment(name: str) -> dict[str, str]:
    """Return the variables that the environment file *name* sets."""
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and line[0] != "#")
    return {name: value for name, _, value in pairs}
