"""The mounts of this process, as proc_pid_mountinfo(5) has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

# A space, a tab, a newline, a backslash and a '#' are written in octal.
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """
    One mount.

    Attributes:
        root: what of the filesystem is mounted.
        point: where.
        kind: the type of the filesystem, as 'ext4'.
        options: of the filesystem, as 'rw' and 'memory'.
    """

    root: Path
    point: Path
    kind: str
    options: tuple[str, ...]


def mounts(mountinfo: str | None = None) -> list[Mount]:
    """Return the mounts, in the order in which they were made."""
    if mountinfo is None:
        # A name may be in any encoding.
        path = Path("/proc/self/mountinfo")
        mountinfo = path.read_text(encoding="utf-8", errors="surrogateescape")
    return [_parse(line) for line in mountinfo.splitlines()]


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    root, point = (Path(_unescape(word)) for word in before.split(" ")[3:5])
    kind, _, options = after.split(" ")
    return Mount(root, point, kind, tuple(options.split(",")))


def _unescape(word: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), word)
