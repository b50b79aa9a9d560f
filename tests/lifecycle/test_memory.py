"""How much memory is left, on the machine and in its control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.memory import available_memory
from tests.notes.trees import write_tree

MB = 1 << 20
UNIFIED = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
OWN = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
OTHER = "36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"


def machine(root: Path, groups: str, mountinfo: str, **files: str) -> Path:
    """Write the folders of a machine that has 900 MB left."""
    return write_tree(
        root,
        {
            "proc/meminfo": "MemTotal: 2097152 kB\nMemAvailable:  921600 kB\nCached: 1 kB\n",
            "proc/self/cgroup": groups,
            "proc/self/mountinfo": mountinfo,
            **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
        },
    )


def unified(folder: str, limit: str, usage: int, cached: int) -> dict[str, str]:
    return {
        f"{folder}memory.max": f"{limit}\n",
        f"{folder}memory.current": f"{usage}\n",
        f"{folder}memory.stat": f"anon 1\ninactive_file {cached}\n",
    }


def own(folder: str, limit: int, usage: int, cached: int) -> dict[str, str]:
    return {
        f"memory/{folder}memory.limit_in_bytes": f"{limit}\n",
        f"memory/{folder}memory.usage_in_bytes": f"{usage}\n",
        f"memory/{folder}memory.stat": f"inactive_file 0\ntotal_inactive_file {cached}\n",
    }


def test_a_machine_without_groups_has_what_it_says(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, "", "")) == 900 * MB


def test_an_old_kernel_that_does_not_say_has_none(tmp_path: Path) -> None:
    root = machine(tmp_path, "", "")
    (root / "proc/meminfo").write_text("MemTotal: 2097152 kB\n")
    assert available_memory(root) == 0


def test_the_least_of_all_groups_above_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "0::/app.slice/site.service\n",
        UNIFIED,
        **unified("app.slice/", str(700 * MB), 500 * MB, 100 * MB),
        **unified("app.slice/site.service/", "max", 400 * MB, 0),
    )
    assert available_memory(root) == 300 * MB


def test_in_a_container_the_limit_is_that_of_the_mount(tmp_path: Path) -> None:
    mountinfo = UNIFIED.replace(" / /sys", " /docker/c1 /sys")
    files = unified("", str(512 * MB), 500 * MB, 0)
    for groups in ("0::/\n", "0::/docker/c1\n", "0::/../other\n"):
        assert (
            available_memory(machine(tmp_path, groups, mountinfo, **files)) == 12 * MB
        )


def test_a_group_over_its_limit_has_none_left(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", UNIFIED, **unified("", "1000", 2000, 0))
    assert available_memory(root) == 0


def test_the_memory_controller_of_its_own_counts_as_well(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "9:name=systemd:/\n8:pids:/a\n4:cpu,memory:/a/b\n0::/\n",
        OTHER + OWN,
        **own("", 1 << 63, 1900 * MB, 0),
        **own("a/", 800 * MB, 200 * MB, 50 * MB),
        **own("a/b/", 600 * MB, 100 * MB, 30 * MB),
    )
    assert available_memory(root) == 530 * MB


@pytest.mark.parametrize("mountinfo", [UNIFIED, OWN])
def test_a_group_that_is_not_there_is_passed_over(
    tmp_path: Path, mountinfo: str
) -> None:
    root = machine(tmp_path, "0::/gone\n", mountinfo)
    assert available_memory(root) == 900 * MB


def test_this_machine_has_memory_left() -> None:
    assert available_memory() > 0
