"""
Packing: a parsed note as few bytes.

Of ten thousand parsed notes a change needs a handful. Packed they take a third of
the room, travel between processes and boots as they are, and stay shared with the
master: memory that nothing looks at is not copied.
"""

from __future__ import annotations

import functools
import pickle
import zlib

from notes.rendering import ParsedNote

# The fastest: a note is packed once and unpacked whenever it is rendered.
_LEVEL = 1


def pack(parsed: ParsedNote) -> bytes:
    """Return *parsed* packed."""
    return zlib.compress(pickle.dumps(parsed, pickle.HIGHEST_PROTOCOL), _LEVEL)


# Notes that many others embed come up again and again.
@functools.lru_cache(maxsize=64)
def unpack(packed: bytes) -> ParsedNote:
    """Return what `pack` packed: never what came from elsewhere, for it may be code."""
    parsed: ParsedNote = pickle.loads(zlib.decompress(packed))  # noqa: S301
    return parsed
