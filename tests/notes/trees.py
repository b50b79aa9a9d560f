"""Vaults made for a test, and the real ones that are shared."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SHARED = Path(
    os.environ.get("SHARED_DIR", Path(__file__).resolve().parents[3] / "shared")
)
VAULTS = SHARED / "vaults"
VAULT_NAMES = ("kepano", "oldwinter", "quartz-docs", "trip2g-docs", "trip2g-test")


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write *files*, by path, under *root*; return *root*."""
    root.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def copy_vault(name: str, target: Path) -> Path:
    """
    Return one of the shared vaults: of oldwinter 300 notes, unless SOAK is set.

    The shortened one is a copy in *target*.
    """
    source = VAULTS / name
    if name != "oldwinter" or os.environ.get("SOAK"):
        return source
    notes = sorted(path for path in source.rglob("*.md"))
    files = [path for path in source.rglob("*") if path.is_file()]
    others = [path for path in files if path.suffix != ".md"]
    return write_tree(
        target / name,
        {
            str(path.relative_to(source)): path.read_bytes()
            for path in [*notes[:: max(1, len(notes) // 300)][:300], *others]
        },
    )
