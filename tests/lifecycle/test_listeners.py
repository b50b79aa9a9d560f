from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lifecycle.knobs import Address, address
from lifecycle.listeners import (
    ListenerError,
    bind,
    inherited_count,
    wrap,
)
from tests.lifecycle.children import ROOT
from tests.processes import free_port, listening_socket

# Runs in a process of its own, for LISTEN_PID is its pid, and descriptor 3 is
# there at its start.
INHERIT = """
import os, sys
from lifecycle.knobs import address
from lifecycle.listeners import ListenerError, bind, inherit
if sys.argv[2] != "absent":
    os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[2]))
try:
    sockets, kind = inherit(sys.argv[1], os.environ), "inherit"
    if not sockets:
        sockets, kind = [bind(address(sys.argv[3]))], "bind"
except ListenerError as exc:
    print(exc)
else:
    names = " ".join("%s:%d" % listener.getsockname()[:2] for listener in sockets)
    left = " ".join(sorted(name for name in os.environ if name.startswith("LISTEN_")))
    inheritable = any(listener.get_inheritable() for listener in sockets)
    print(f"{kind} {names} left=[{left}] inheritable={inheritable}")
"""


def inherit(
    descriptor: int,
    *,
    choice: str = "auto",
    pid: str = "0",
    fds: str = "1",
    wanted: str = "127.0.0.1:0",
) -> str:
    """Return what a process says that gets *descriptor* as number 3."""

    def place() -> None:
        os.dup2(descriptor, 3, inheritable=True)

    return subprocess.run(
        [sys.executable, "-c", INHERIT, choice, pid, wanted],
        cwd=ROOT,
        env={**os.environ, "LISTEN_FDS": fds, "LISTEN_FDNAMES": "web"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        close_fds=False,
        preexec_fn=place,
    ).stdout.strip()


@pytest.fixture
def passed() -> Iterator[socket.socket]:
    with listening_socket() as listener:
        yield listener


def name_of(listener: socket.socket) -> str:
    return "{}:{}".format(*listener.getsockname()[:2])


@pytest.mark.parametrize("choice", ["auto", "inherit"])
def test_a_socket_passed_to_this_process_is_taken(
    passed: socket.socket, choice: str
) -> None:
    assert inherit(passed.fileno(), choice=choice) == (
        f"inherit {name_of(passed)} left=[] inheritable=False"
    )


@pytest.mark.parametrize("pid", ["1", "absent"])
def test_a_socket_passed_to_another_process_is_left_alone(
    passed: socket.socket, pid: str
) -> None:
    said = inherit(passed.fileno(), pid=pid)
    assert said.startswith("bind 127.0.0.1:")
    assert name_of(passed) not in said


def test_inherit_with_nothing_passed_says_so_in_one_line(passed: socket.socket) -> None:
    assert inherit(passed.fileno(), choice="inherit", pid="1") == (
        "LISTENER=inherit, but no socket was passed (LISTEN_FDS, LISTEN_PID). "
        "Start it by a systemd socket unit, or set LISTENER=bind."
    )


def test_bind_by_name_ignores_what_was_passed(passed: socket.socket) -> None:
    assert inherit(passed.fileno(), choice="bind").startswith("bind 127.0.0.1:")


def test_a_descriptor_that_is_no_socket_is_one_line() -> None:
    with Path("/dev/null").open() as null:
        assert inherit(null.fileno()) == (
            "Descriptor 3, passed by LISTEN_FDS, is no socket: Socket operation on "
            "non-socket. See to the socket unit, or set LISTENER=bind."
        )


def test_a_descriptor_that_is_not_open_is_one_line(passed: socket.socket) -> None:
    assert inherit(passed.fileno(), fds="90") == (
        "Descriptor 4, passed by LISTEN_FDS, is no socket: Bad file descriptor. "
        "See to the socket unit, or set LISTENER=bind."
    )


def test_a_socket_that_does_not_listen_is_one_line() -> None:
    with socket.socket() as connected:
        assert inherit(connected.fileno()) == (
            "Descriptor 3, passed by LISTEN_FDS, does not listen. Let the socket unit "
            "have ListenStream= and Accept=no, or set LISTENER=bind."
        )


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({}, 0),
        ({"LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": str(os.getpid())}, 0),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"}, 0),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"}, 0),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}, 2),
    ],
)
def test_sockets_count_only_for_the_process_they_were_passed_to(
    environ: dict[str, str], count: int
) -> None:
    assert inherited_count(environ) == count


@pytest.mark.parametrize(
    ("wanted", "family", "host"),
    [
        ("127.0.0.1:0", socket.AF_INET, "127.0.0.1"),
        ("[::1]:0", socket.AF_INET6, "::1"),
        (":0", socket.AF_INET6, "::"),
    ],
)
def test_an_address_is_bound(wanted: str, family: int, host: str) -> None:
    with bind(address(wanted)) as listener:
        assert listener.family == family
        assert listener.getsockname()[0] == host
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not listener.get_inheritable()


def test_every_interface_means_both_families() -> None:
    with bind(address(":0")) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


def test_an_address_in_use_is_one_line(passed: socket.socket) -> None:
    wanted = name_of(passed)
    with pytest.raises(ListenerError) as caught:
        bind(address(wanted))
    assert str(caught.value) == (
        f"Cannot listen on {wanted}: Address already in use. "
        "Stop what has the address, or set another."
    )


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Address("192.0.2.1", 0), "Cannot assign requested address"),
        (Address("no.such.host.invalid", 1), None),
        (Address("a" * 70, 1), None),
        (Address("", 0, "/no/such/folder/x.sock"), "No such file or directory"),
        (Address("", 0, "/tmp/" + "x" * 200), "AF_UNIX path too long"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_line(
    wanted: Address, reason: str | None
) -> None:
    with pytest.raises(ListenerError) as caught:
        bind(wanted)
    message = str(caught.value)
    assert message.startswith(f"Cannot listen on {wanted}: {reason or ''}")
    assert message.endswith(". Stop what has the address, or set another.")
    assert "\n" not in message


def test_a_socket_file_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    bind(Address("", 0, path)).close()
    assert Path(path).exists()
    with bind(Address("", 0, path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_socket_file_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with bind(Address("", 0, path)) as first:
        inode = Path(path).stat().st_ino
        with pytest.raises(ListenerError) as caught:
            bind(Address("", 0, path))
        assert str(caught.value) == (
            f"Cannot listen on unix:{path}: Address already in use. "
            "Stop what has the address, or set another."
        )
        assert Path(path).stat().st_ino == inode
        first.accept()[0].close()


def test_a_socket_file_whose_server_is_too_busy_to_answer_is_left_alone(
    tmp_path: Path,
) -> None:
    """A blocking look at it would wait for ever."""
    path = str(tmp_path / "x.sock")
    clients = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            try:
                client.connect(path)
            except BlockingIOError:
                break
        with pytest.raises(ListenerError, match="Address already in use"):
            bind(Address("", 0, path))
        assert Path(path).is_socket()
    for client in clients:
        client.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("text")
    with pytest.raises(ListenerError, match="Address already in use"):
        bind(Address("", 0, str(path)))
    assert path.read_text() == "text"


def test_gunicorns_listeners_take_the_sockets_over(tmp_path: Path) -> None:
    from gunicorn import sock
    from gunicorn.config import Config

    wanted = [
        Address("127.0.0.1", free_port()),
        Address("::1", free_port("::1")),
        Address("", 0, str(tmp_path / "x.sock")),
    ]
    sockets = [bind(one) for one in wanted]
    listeners = wrap(sockets, Config(), SimpleNamespace())
    try:
        assert [type(listener) for listener in listeners] == [
            sock.TCPSocket,
            sock.TCP6Socket,
            sock.UnixSocket,
        ]
        assert [str(listener) for listener in listeners] == [
            f"http://{wanted[0]}",
            f"http://{wanted[1]}",
            str(wanted[2]),
        ]
        assert all(one.fileno() == -1 for one in sockets)
    finally:
        for listener in listeners:
            listener.close()
