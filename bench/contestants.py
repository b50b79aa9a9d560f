"""What `bench/pages.py` measures: three servers, each on one core, with the same bodies."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.exchange import Answer, LostError, connect
from bench.instance import REPOSITORY, SERVE, bare_environ
from bench.stage import Stage, find_pages
from bench.waiting import free_port, wait_until
from lifecycle.knobs import Address

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
{user}
error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type "text/html; charset=utf-8";
  open_file_cache max=100000 inactive=1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address};
    root {folder}/pages;
    location / {{ gzip_static on; }}
  }}
}}
"""


class Contestant(NamedTuple):
    """
    A server that runs.

    Attributes:
        group: its process group.
        paths: what it is asked for, in turn.
    """

    name: str
    address: Address
    group: int
    paths: Sequence[str]


class Body(NamedTuple):
    """A page of the site: its path, and what is sent for it, plain and compressed."""

    path: str
    plain: bytes
    compressed: bytes


@contextlib.contextmanager
def site(stage: Stage) -> Iterator[Contestant]:
    """Run the site as *stage* says; its paths are those of its sitemap."""
    public = Address("127.0.0.1", free_port())
    with stage.instance(public=public, name="site") as instance:
        instance.start()
        instance.wait_ready()
        paths = asyncio.run(find_pages(public))
        yield Contestant("this site", public, instance.pid, paths)


def site_command(core: int) -> tuple[str, ...]:
    """Return what starts an instance on *core* alone."""
    return ("taskset", "-c", str(core), *SERVE)


@contextlib.contextmanager
def constant(size: int, folder: Path, core: int) -> Iterator[Contestant]:
    """
    Run gunicorn's gthread worker with a body of *size* bytes that never changes.

    In *folder*, for gunicorn reads the configuration of the folder that it starts in.
    """
    address = Address("127.0.0.1", free_port())
    command = [
        *("taskset", "-c", str(core), sys.executable, "-m", "gunicorn"),
        *("--worker-class", "gthread", "--workers", "1", "--threads", "32"),
        *("--keep-alive", "130", "--no-control-socket", "--log-level", "warning"),
        *("--pythonpath", str(REPOSITORY)),
        *("--bind", str(address), f"bench.constant:make({size})"),
    ]
    with _running(command, address, folder) as group:
        yield Contestant("gunicorn gthread, one constant body", address, group, ["/"])


@contextlib.contextmanager
def nginx(bodies: Sequence[Body], folder: Path, core: int) -> Iterator[Contestant]:
    """Run nginx with *bodies* as files in *folder*, compressed ones beside them."""
    pages = folder / "pages"
    pages.mkdir(parents=True)
    for number, body in enumerate(bodies):
        (pages / f"{number}.html").write_bytes(body.plain)
        (pages / f"{number}.html.gz").write_bytes(body.compressed)
    address = Address("127.0.0.1", free_port())
    config = folder / "nginx.conf"
    # As root it would give its worker a user who may not read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_NGINX.format(folder=folder, address=address, user=user))
    command = [
        *("taskset", "-c", str(core)),
        *("nginx", "-p", str(folder), "-c", str(config), "-e", str(folder / "log")),
    ]
    with _running(command, address, folder) as group:
        paths = [f"/{number}.html" for number in range(len(bodies))]
        yield Contestant("nginx, gzip_static, from disk", address, group, paths)


@contextlib.contextmanager
def _running(command: Sequence[str], address: Address, folder: Path) -> Iterator[int]:
    """Run *command* until the end of the block, which gets its process group."""
    # A session of its own, as an instance has: the kernel shares a core between
    # sessions before it shares it between processes (autogroups).
    process = subprocess.Popen(
        command, cwd=folder, env=bare_environ(), start_new_session=True
    )

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command} ended with {process.returncode}")
        try:
            fetch(address, ["/"])
        except LostError:
            return False
        return True

    try:
        wait_until(answers, 20, f"{command[3]} answering")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def fetch(address: Address, paths: Sequence[str]) -> list[Answer]:
    """
    Return the answers to *paths*, compressed where the server does that.

    Raises:
        LostError: one did not come whole.
    """

    async def read() -> list[Answer]:
        found = []
        for path in paths:
            connection = await connect(address)
            found.append(
                await connection.get(path, "localhost", close=True, accept="gzip")
            )
            connection.close()
        return found

    return asyncio.run(read())


def collect(contestant: Contestant) -> list[Body]:
    """Return what the site sends for each page."""
    answers = fetch(contestant.address, contestant.paths)
    bodies = []
    for path, answer in zip(contestant.paths, answers, strict=True):
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        is_compressed = answer.headers.get(b"content-encoding") == b"gzip"
        plain = gzip.decompress(answer.body) if is_compressed else answer.body
        compressed = answer.body if is_compressed else gzip.compress(plain)
        bodies.append(Body(path, plain, compressed))
    return bodies
