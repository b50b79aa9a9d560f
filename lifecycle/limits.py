"""How many files and connections a process of the instance may have open."""

from __future__ import annotations

import contextlib
import resource

# As many as anybody needs; where the hard limit is higher still, tables would grow.
_ENOUGH = 65536


def raise_open_files() -> int:
    """
    Raise the soft limit of open files to the hard one; return what it is then.

    It is 1024 where nobody has changed it, for the sake of programs that use
    select(2). A worker alone may have 1000 connections. For the master, first thing:
    its children inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
