"""
A machine with a real systemd as its first process, made of this one.

Its files are this machine's under an overlay in memory, less the units that are
enabled here; its network is this machine's; it is booted by systemd-nspawn(1).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.instance import bare_environ
from bench.resources import Owner
from bench.waiting import wait_until

BOOT_TIMEOUT = 60.0
_SYSTEMD = Path("/lib/systemd/systemd")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The namespaces of the machine; the network is shared.
_NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup")


class MachineError(Exception):
    """The machine did not do as it should; the message is what it printed."""


def missing() -> str | None:
    """Return what this machine lacks to boot another, and how to get it, or None."""
    if os.geteuid() != 0:
        return "only root can boot a machine: run the tests as root"
    if not shutil.which("systemd-nspawn") or not _SYSTEMD.exists():
        return "systemd-nspawn is missing: apt-get install systemd-container"
    if not shutil.which("apt-get"):
        return "not a Debian system"
    with contextlib.ExitStack() as stack:
        try:
            _mount_overlay(stack)
        except MachineError as exc:
            return str(exc)
    return None


class SystemdMachine(Owner):
    """
    A machine that runs from entering to leaving; then nothing of it is left.

    Args:
        binds: folders of this machine, with where they are to be in that one,
            read-only.
        shared: the same, and both machines may write there.

    Attributes:
        root: its files.
    """

    root: Path

    def __init__(
        self,
        binds: Sequence[tuple[Path, str]] = (),
        shared: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self._binds = binds
        self._shared = shared
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__()

    def _begin(self) -> None:
        self.root = _mount_overlay(self._resources)
        self._boot()

    def _boot(self) -> None:
        # What this machine has enabled must not run twice.
        units = self.root / "etc/systemd/system"
        shutil.rmtree(units, ignore_errors=True)
        units.mkdir(parents=True)
        self._log = self.root.parent / "console.log"
        self._start()
        self._resources.callback(self._end)

    def _start(self) -> None:
        command = [
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
            *("--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"),
            *(f"--bind-ro={ours}:{theirs}" for ours, theirs in self._binds),
            *(f"--bind={ours}:{theirs}" for ours, theirs in self._shared),
            "systemd.unit=multi-user.target",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until(self._is_running, BOOT_TIMEOUT, "the boot", interval=0.1)
        except TimeoutError as exc:
            raise MachineError(f"{exc}\n{self._log.read_text()}") from exc

    def _end(self) -> None:
        """Power off, as its own administrator would; at once if it does not obey."""
        assert self._process is not None  # noqa: S101 - it was started
        with contextlib.suppress(MachineError):
            # SIGRTMIN+4 asks systemd for a power-off.
            os.kill(self.leader, signal.SIGRTMIN + 4)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _remove_cgroups()

    @property
    def leader(self) -> int:
        """
        The pid, here, of its first process.

        Raises:
            MachineError: there is none; the message is what it printed.
        """
        assert self._process is not None  # noqa: S101 - it was started
        pid = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children:
                return int(children[0])
        raise MachineError(
            f"The machine does not run.\n{self._log.read_text(errors='replace')}"
        )

    def _is_running(self) -> bool:
        try:
            state = self.run("systemctl is-system-running", check=False).stdout
        except MachineError:
            if self._process is None or self._process.poll() is not None:
                raise
            return False
        return state.strip() in {"running", "degraded"}

    def run(
        self, script: str, *, check: bool = True, timeout: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """
        Run *script* by a shell, as root.

        Raises:
            MachineError: it did not end with 0, and *check* is true.
        """
        kept = ("PIP_", "SSL_", "REQUESTS_")
        environ = bare_environ() | {
            name: value for name, value in os.environ.items() if name.startswith(kept)
        }
        # A folder of this machine, which that one need not have.
        environ.pop("TMPDIR", None)
        done = subprocess.run(
            [
                *("nsenter", f"--target={self.leader}", *_NAMESPACES),
                *("sh", "-e", "-c", f"cd /\n{script}"),
            ],
            env=environ | {"PATH": _PATH, "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise MachineError(
                f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def reboot(self) -> None:
        """Boot again, with the files as they are; return when that is over."""
        assert self._process is not None  # noqa: S101 - it was started
        self.run("systemctl reboot", check=False)
        # systemd-nspawn --keep-unit leaves it to its caller to start it again.
        self._process.wait(BOOT_TIMEOUT)
        self._start()


def _mount_overlay(stack: contextlib.ExitStack) -> Path:
    """
    Return a copy-on-write view of this machine's root; *stack* takes it away.

    Raises:
        MachineError: the kernel does not allow it.
    """
    folder = Path(tempfile.mkdtemp(prefix="machine-"))
    stack.callback(folder.rmdir)
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
    stack.callback(_unmount, folder)
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    _mount("-t", "overlay", "-o", layers, "overlay", str(folder / "root"))
    stack.callback(_unmount, folder / "root")
    return folder / "root"


def _mount(*arguments: str) -> None:
    done = subprocess.run(
        ["mount", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MachineError(f"this kernel does not mount it: {done.stderr.strip()}")


def _unmount(folder: Path) -> None:
    # What still runs in there, if anything, must not keep the folder.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _remove_cgroups() -> None:
    """Remove the groups that systemd-nspawn leaves behind in its own."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        group = line.split(":", 2)[2]
        for mount in ("unified", "systemd", ""):
            base = Path("/sys/fs/cgroup") / mount / group.lstrip("/")
            for name in ("payload", "supervisor"):
                top = base / name
                if not top.is_dir():
                    continue
                folders = [*top.rglob("*"), top]
                for path in sorted(folders, key=lambda one: -len(one.parts)):
                    if path.is_dir():
                        with contextlib.suppress(OSError):
                            path.rmdir()
