"""
Steering new connections to the newest of two SO_REUSEPORT sockets.

Closing a listening socket resets what waits in its accept queue. So the new
instance attaches a classic BPF program to the reuseport group that always
returns the index of its own socket: the old one gets nothing new, and its queue
is empty long before it closes. See socket(7), SO_ATTACH_REUSEPORT_CBPF.

Sockets are indexed in the order of listen(); closing one moves the last into its
place; an index out of range falls back to the hash. The program outlives its
author, so there are two sockets at a time, and who is alone detaches it. The
kernel's own list says how many there are: workers may outlive their master, and
their socket with them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import struct
from pathlib import Path

logger = logging.getLogger(__name__)

# Linux numbers that Python's socket module does not name; asm-generic/socket.h.
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68
# linux/filter.h: return a constant.
_BPF_RET_K = 0x06
# TCP_LISTEN of net/tcp_states.h, as /proc/net/tcp shows it.
_LISTENS = "0A"
# The newer of two sockets is the second one of the group.
OLDER, NEWER = 0, 1


def listen(family: int, address: tuple[str, int], backlog: int) -> socket.socket:
    """Return a socket that shares *address*, in numbers, with others of its group."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and address[0] == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def count_listening(family: int, name: tuple[str, int]) -> int:
    """Return how many sockets listen on exactly that host and port, both numbers."""
    packed = socket.inet_pton(family, name[0])
    # Words of 32 bits, in the byte order of this machine.
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    local = "".join(f"{word:08X}" for word in words) + f":{name[1]:04X}"
    table = "tcp6" if family == socket.AF_INET6 else "tcp"
    count = 0
    with Path(f"/proc/net/{table}").open() as lines:
        next(lines)
        for line in lines:
            _, there, _, state, *_ = line.split(None, 4)
            if state != _LISTENS:
                break  # those that listen come first
            count += there == local
    return count


def attach(descriptor: int, index: int = NEWER) -> str:
    """
    Send every new connection of the group of *descriptor* to its socket at *index*.

    Returns:
        '' or why the kernel refuses.
    """
    program = struct.pack("HBBI", _BPF_RET_K, 0, 0, index)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", 1, ctypes.addressof(buffer))
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)
        except OSError as exc:
            return exc.strerror or str(exc)
    return ""


def detach(descriptor: int) -> None:
    """Let the kernel's hash choose again. Idempotent."""
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)
        except OSError as exc:
            # Nothing was attached, or the kernel cannot: the hash it is.
            logger.debug("event=steering_detach reason=%r", str(exc))
