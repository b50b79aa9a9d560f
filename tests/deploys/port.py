"""Instances that follow one another on one address, and what they leave behind."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

from bench.instance import Instance
from bench.stage import Stage
from lifecycle import listeners, locks, peers, steering
from lifecycle.knobs import Address
from tests.processes import free_port, wait_until

# What no two instances have alike in the names of their files and sockets.
_UNIQUE = re.compile(r":\[\d+\]|[0-9a-f]{8}(?=\.)|-\d+(?=\.log)|-\w{8}(?= \(deleted)")
NAMED_MEMORY = re.compile(r"/dev/shm/|/SYSV")


class Port:
    """Instances of a stage that follow one another on one address."""

    def __init__(self, stage: Stage, public: Address, way: str = "auto") -> None:
        self.stage = stage
        self.public = public
        self.way = way
        self.internal = Address("127.0.0.1", free_port())
        self.started = contextlib.ExitStack()

    def start(self, *, ready: bool = True) -> Instance:
        """Start the next one; wait until it is *ready* to have the slot."""
        instance = self.stage.instance(
            public=self.public, internal=self.internal, way=self.way
        )
        self.started.enter_context(instance)
        instance.start()
        if ready:
            self.wait_phase(instance, "ready")
        return instance

    def replace(self, old: Instance) -> Instance:
        """Start the next one, and wait until *old* has left as it should."""
        new = self.start()
        assert old.wait() == 0
        assert old.group_pids() == []
        return new

    @staticmethod
    def wait_phase(instance: Instance, phase: str) -> None:
        """Wait until *instance* has logged that it entered *phase*."""
        Port.wait_logged(instance, f"phase={phase} ")

    @staticmethod
    def wait_logged(instance: Instance, words: str) -> None:
        """Wait until *instance*, which runs on, has logged *words*."""

        def is_there() -> bool:
            assert instance.is_running, instance.output
            return words in instance.output

        try:
            wait_until(is_there, 60, words)
        except TimeoutError as exc:
            raise AssertionError(instance.output) from exc

    # -- what is seen of them --------------------------------------------------

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.stage.knobs["DATA_DIR"])

    @property
    def sockets(self) -> int:
        """How many sockets listen on the address, as the kernel has it."""
        family, name = listeners.resolve(self.public)
        return steering.count_listening(family, name)

    @property
    def is_deploying(self) -> bool:
        """Whether a third instance on a shared port would have to wait."""
        return locks.is_locked(self.data / "run" / "reuseport.lock")

    def status(self, instance: Instance) -> dict[str, Any]:
        """Return what the instance says of itself to its peers; {} before it does."""
        run_dir = peers.RunDir(self.data)
        for peer in peers.living(run_dir):
            if peer.record["pid"] == instance.pid:
                return peers.ask(run_dir, peer, "/status")
        return {}

    # -- what is left ----------------------------------------------------------

    def processes(self) -> list[int]:
        """Return the pids of whatever runs on the data directory, in any group."""
        wanted = f"DATA_DIR={self.data}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (
                    (entry / "environ").read_bytes().split(b"\0")
                ):
                    found.append(int(entry.name))
        return found

    def left(self) -> dict[str, object]:
        """Return what there is now: processes, descriptors by kind, names of files."""
        kinds: Counter[str] = Counter()
        processes = self.processes()
        for pid in processes:
            kinds.update(_descriptors(pid))
        files = [*self.data.rglob("*"), *self.stage.folder.iterdir()]
        return {
            "processes": len(processes),
            "descriptors": dict(sorted(kinds.items())),
            # Logs are the test's own; the history is kept in two files, see timeline.py.
            "files": sorted(
                _UNIQUE.sub("", path.name)
                for path in files
                if path.suffix != ".log" and path.name != "history.jsonl.1"
            ),
        }

    def settled(self) -> dict[str, object]:
        """Return what `left` does, once it is the same for a second."""
        seen = [self.left()]

        def is_still() -> bool:
            seen.append(self.left())
            return all(one == seen[-1] for one in seen[-5:-1]) and len(seen) >= 5

        wait_until(is_still, 60, "a state that lasts", interval=0.25)
        return seen[-1]

    def named_memory(self) -> list[str]:
        """Return the shared memory with a name that is mapped: it could stay."""
        found = []
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                if NAMED_MEMORY.search(line):
                    found.append(line)
        return found


def _descriptors(pid: int) -> Counter[str]:
    """Return how many descriptors of each kind the process has: 'socket', 'pipe', …"""
    found: Counter[str] = Counter()
    with contextlib.suppress(FileNotFoundError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(entry.readlink())
                found[_UNIQUE.sub("", target.rpartition("/")[2])] += 1
    return found


def system_v_creators() -> set[int]:
    """Return the pids that have made the System V shared memory that there is."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return {int(line.split()[4]) for line in lines[1:]}
