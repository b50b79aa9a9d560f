"""Which version of the code this is, for peers and for people."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SKIPPED = {"tests", "bench", "docs", "data", "node_modules", "__pycache__"}


def code_version(project: Path) -> str:
    """
    Return the version of the code in *project*: a hash of its sources.

    Two releases with the same Python sources, templates and static files are one
    version. Reads a few hundred small files, once a start.
    """
    digest = hashlib.sha256()
    for path in sorted(project.glob("*/")):
        if path.name.startswith(".") or path.name in _SKIPPED:
            continue
        if not (path / "__init__.py").exists():
            continue
        for file in sorted(path.rglob("*")):
            if (
                file.suffix in {".py", ".html", ".css", ".js", ".svg"}
                and file.is_file()
            ):
                digest.update(str(file.relative_to(project)).encode() + b"\0")
                digest.update(file.read_bytes())
    return f"src-{digest.hexdigest()[:10]}"
