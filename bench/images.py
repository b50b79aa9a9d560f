"""
Images of the site, built where no registry of images can be reached.

What the Containerfile starts from is made of this machine's own Debian packages, and
Caddy's image of the program that PyPI has. Both are kept by podman, for the next time.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import programs
from bench.instance import REPOSITORY, bare_environ

BASE = "localhost/trip2g-base:1"
CADDY = "localhost/trip2g-caddy:2"
_CONTAINERFILE = REPOSITORY / "deploy" / "container" / "Containerfile"
_PACKAGES = "base-files,base-passwd,coreutils,dash,passwd,python3,python3-venv,tzdata"
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_TIMEOUT = 600.0


USER = 10001
"""The image's."""


class ImageError(Exception):
    """A command of podman's failed; the message is what it said."""


def missing() -> str | None:
    """Return what it takes to run containers and is not here, or None."""
    if os.geteuid() != 0:
        return "only root can run containers in this way"
    return programs.missing("podman", "runc", "podman-compose", "mmdebstrap", "caddy")


def give(data: Path) -> None:
    """Give *data* and all that is in it to the image's user, as a new volume is."""
    for folder, _, names in os.walk(data):
        for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118
            os.chown(path, USER, USER)


class Podman:
    """
    podman with a configuration of its own in *folder*.

    No limit is raised and systemd is left alone, so that it runs in a sandbox too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config = folder / "containers.conf"
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        _, processes = resource.getrlimit(resource.RLIMIT_NPROC)
        limits = [
            f'"{name}={most}:{most}"'
            for name, limit, wanted in (
                ("nofile", files, 20_000),
                ("nproc", processes, 4096),
            )
            for most in [wanted if limit < 0 else min(limit, wanted)]
        ]
        config.write_text(
            f"[containers]\ndefault_ulimits = [{', '.join(limits)}]\n"
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
        )
        tools = str(Path(programs.get("podman-compose")).parent)
        environ = bare_environ()
        self.environ = environ | {
            "CONTAINERS_CONF": str(config),
            "PATH": f"{tools}{os.pathsep}{environ['PATH']}",
        }

    def run(self, *arguments: str | Path, timeout: float = _TIMEOUT) -> str:
        """
        Return what `podman ARGUMENTS` prints.

        Raises:
            ImageError: it failed.
        """
        return self.call([programs.get("podman"), *map(str, arguments)], timeout)

    def call(
        self,
        command: list[str],
        timeout: float = _TIMEOUT,
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Return what *command* prints, run with podman's configuration."""
        done = subprocess.run(
            command,
            cwd=cwd or self._folder,
            env=self.environ | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode != 0:
            raise ImageError(
                f"{' '.join(command)} ended with {done.returncode}:\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout

    def has(self, image: str) -> bool:
        """Return whether *image* is there."""
        return bool(self.run("images", "--quiet", image).strip())

    def build(self, tag: str, code: Path) -> None:
        """Build the site in *code* by the recipe's Containerfile."""
        self.make_base()
        self.run(
            *("build", "--quiet", "--pull=never", "--format=docker"),
            *("--build-arg", f"PYTHON={BASE}", "--ignorefile"),
            *(REPOSITORY / ".containerignore", "--file", _CONTAINERFILE),
            *("--tag", tag, code),
        )

    def make_caddy(self) -> None:
        """Have an image with Caddy, as docker.io/library/caddy:2 is one."""
        if self.has(CADDY):
            return
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(programs.get("caddy"), Path(folder, "caddy"))
            Path(folder, "Containerfile").write_text(
                "FROM scratch\nCOPY caddy /usr/bin/caddy\n"
                "ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data\n"
                'CMD ["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile"]\n'
            )
            self.run("build", "--quiet", "--pull=never", "--tag", CADDY, folder)

    def make_base(self) -> None:
        """Have what the Containerfile starts from."""
        if self.has(BASE):
            return
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "base.tar")
            self.call(
                [
                    *("mmdebstrap", "--quiet", "--variant=extract"),
                    *(f"--include={_PACKAGES}", "bookworm", str(archive)),
                    "http://deb.debian.org/debian",
                ]
            )
            # What pip trusts; the package makes its file only when it is configured.
            self.call(
                [
                    *("tar", "--append", "--file", str(archive), "--dereference"),
                    *("--directory=/", "--transform=s,^,./,", _CERTIFICATES),
                ]
            )
            change = "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin"
            self.run("import", "--quiet", "--change", change, archive, BASE)
