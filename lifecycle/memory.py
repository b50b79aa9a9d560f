"""How much memory is left: on the machine, and to the control groups of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lifecycle.mounts import mounts


class _Names(NamedTuple):
    """
    What the files of a control group are called.

    Attributes:
        limit: in bytes; 'max', or more than any machine has, for none.
        usage: in bytes, caches included.
        reclaimable: a line of memory.stat; the part of the usage that goes when it must.
    """

    limit: str
    usage: str
    reclaimable: str


# See cgroups(7): the unified hierarchy, and the one that each controller had before.
_UNIFIED = _Names("memory.max", "memory.current", "inactive_file")
_OWN = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(root: Path = Path("/")) -> int:
    """
    Return the bytes that a new process here could use.

    The least of what the machine has left and of what each control group does that
    this process is in: a container's limit is that of a group.

    Args:
        root: where proc and the control groups are looked for.
    """
    left = [_left_on_machine(root)]
    for folder, names in _groups(root):
        # A group of the root has no limit, and one may go at any time.
        with contextlib.suppress(OSError, ValueError):
            left.append(_left_in(folder, names))
    return max(0, min(left))


def _left_on_machine(root: Path) -> int:
    """Return MemAvailable; see proc_meminfo(5)."""
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0


def _left_in(folder: Path, names: _Names) -> int:
    limit = int((folder / names.limit).read_text())  # 'max' is a ValueError
    usage = int((folder / names.usage).read_text())
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == names.reclaimable:
            usage -= int(value)
    return limit - usage


def _groups(root: Path) -> Iterator[tuple[Path, _Names]]:
    """Yield the folders of the groups that this process is in, the innermost first."""
    own = _own_groups((root / "proc/self/cgroup").read_text(errors="surrogateescape"))
    mountinfo = (root / "proc/self/mountinfo").read_text(errors="surrogateescape")
    for mount in mounts(mountinfo):
        if mount.kind == "cgroup2":
            group, names = own.get(""), _UNIFIED
        elif mount.kind == "cgroup" and "memory" in mount.options:
            group, names = own.get("memory"), _OWN
        else:
            continue
        if group is None:
            continue
        top = root / mount.point.relative_to("/")
        # In a container the group's path may be the host's, and the mount its own.
        inside = (
            group.relative_to(mount.root) if group.is_relative_to(mount.root) else ""
        )
        folder = top / inside
        while True:
            yield folder, names
            if folder == top or ".." in folder.parts:
                break
            folder = folder.parent


def _own_groups(text: str) -> dict[str, PurePosixPath]:
    """Return the group of each controller, that of the unified hierarchy under ''."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = PurePosixPath(path)
    return found
