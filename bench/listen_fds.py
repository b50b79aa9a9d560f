"""
Become a command that finds a listening socket as systemd passes it.

    python bench/listen_fds.py FD COMMAND [ARGUMENT …]

Protocol: sd_listen_fds(3): the socket is descriptor 3, and LISTEN_PID names the
very process that it is meant for, so nobody can set it but that process.
"""

from __future__ import annotations

import os
import sys

FIRST = 3


def main(descriptor: int, command: list[str]) -> None:
    """Move *descriptor* to where systemd passes the first one; run *command*."""
    if descriptor != FIRST:
        os.dup2(descriptor, FIRST, inheritable=True)
        os.close(descriptor)
    os.environ["LISTEN_FDS"] = "1"
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
