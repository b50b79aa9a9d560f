"""
The public listening socket: inherited from systemd, or bound once warm.

Protocol of the inherited one: sd_listen_fds(3).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from lifecycle.exceptions import LifecycleError
from lifecycle.knobs import Address

_FIRST_INHERITED = 3
BACKLOG = 2048


class ListenerError(LifecycleError):
    """No public listening socket is to be had; the message is one line."""


def inherited_count(environ: dict[str, str] | os._Environ[str]) -> int:
    """Return how many sockets systemd passed to this very process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = environ.get("LISTEN_FDS", "0")
    return int(count) if count.isdigit() else 0


def inherit(choice: str, environ: os._Environ[str]) -> list[socket.socket]:
    """
    Return the sockets that systemd passed to this process; none when it did not.

    Args:
        choice: the knob LISTENER.
        environ: LISTEN_FDS and LISTEN_PID are taken out of it, so that no
            child believes that they are its own.

    Raises:
        ListenerError: LISTENER=inherit and nothing was passed, or no sockets were.
    """
    count = inherited_count(environ)
    if choice == "inherit" and not count:
        raise ListenerError(
            "LISTENER=inherit, but no socket was passed (LISTEN_FDS, LISTEN_PID). "
            "Start it by a systemd socket unit, or set LISTENER=bind."
        )
    if choice not in {"auto", "inherit"}:
        return []
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    descriptors = range(_FIRST_INHERITED, _FIRST_INHERITED + count)
    return [_inherited(descriptor) for descriptor in descriptors]


def _inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        raise ListenerError(
            f"Descriptor {descriptor}, passed by LISTEN_FDS, is no socket: "
            f"{exc.strerror}. See to the socket unit, or set LISTENER=bind."
        ) from exc
    if not listens:
        raise ListenerError(
            f"Descriptor {descriptor}, passed by LISTEN_FDS, does not listen. "
            "Let the socket unit have ListenStream= and Accept=no, or set LISTENER=bind."
        )
    listener.set_inheritable(False)
    return listener


def resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """
    Return family, and host and port as numbers, of a TCP *address*.

    No host means every interface, of both families where the system allows it.

    Raises:
        OSError: the host has no address.
    """
    if not address.host and socket.has_dualstack_ipv6():
        return socket.AF_INET6, ("::", address.port)
    family, _, _, _, name = socket.getaddrinfo(
        address.host or "0.0.0.0",  # noqa: S104 - an empty host asks for it
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )[0]
    return family, (str(name[0]), int(name[1]))


def bind(address: Address) -> socket.socket:
    """
    Return a socket that listens on *address*.

    Raises:
        ListenerError: it cannot be had; the message names the address.
    """
    try:
        if address.is_unix:
            return _bind_unix(address.path)
        family, name = resolve(address)
        return socket.create_server(
            name, family=family, dualstack_ipv6=name[0] == "::", backlog=BACKLOG
        )
    except (OSError, UnicodeError) as exc:
        code = getattr(exc, "errno", None) or 0
        # Negative codes are those of getaddrinfo(3). Python's own text repeats the
        # address.
        reason = os.strerror(code) if code > 0 else getattr(exc, "strerror", 0) or exc
        raise ListenerError(
            f"Cannot listen on {address}: {reason}. "
            "Stop what has the address, or set another."
        ) from exc


def _bind_unix(path: str) -> socket.socket:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog would let it wait; whoever has one listens.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:
            # Nobody listens there: a socket file left behind may go.
            if _is_socket(path):
                Path(path).unlink()
        except BlockingIOError as exc:
            raise OSError(errno.EADDRINUSE, path) from exc
        else:
            raise OSError(errno.EADDRINUSE, path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except FileNotFoundError:
        return False


def wrap(sockets: list[socket.socket], cfg: Any, log: Any) -> list[Any]:
    """Return gunicorn's listener objects around *sockets*, which they take over."""
    from gunicorn import sock

    wrapped = []
    for listener in sockets:
        name = listener.getsockname()
        if listener.family == socket.AF_UNIX:
            kind = sock.UnixSocket
        elif listener.family == socket.AF_INET6:
            kind = sock.TCP6Socket
        else:
            kind = sock.TCPSocket
        wrapped.append(kind(name, cfg, log, fd=listener.detach()))
    return wrapped
