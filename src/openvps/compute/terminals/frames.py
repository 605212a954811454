"""Frames between the api and the console process, over a unix socket: one byte for what it is, four for how long.

No HTTP is spoken there: the process that has the engine reads nothing but this.
"""

import asyncio
import struct
from pathlib import Path
from typing import Literal

from openvps.core.settings import Settings

Kind = Literal["hello", "bytes", "size", "open", "end"]
_LETTERS: dict[Kind, bytes] = {"hello": b"h", "bytes": b"b", "size": b"s", "open": b"o", "end": b"e"}
_KINDS: dict[bytes, Kind] = {letter: kind for kind, letter in _LETTERS.items()}
_HEAD = struct.Struct("!cI")
MOST_BYTES = 64 << 10


def socket_of(config: Settings) -> Path:
    """Return the socket at which the api finds the console process."""
    return config.data_dir / "console" / "socket"


async def read(reader: asyncio.StreamReader) -> tuple[Kind, bytes] | None:
    """Return the next frame; None at the end, and for what isn't one of ours."""
    try:
        letter, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if letter not in _KINDS or length > MOST_BYTES:
            return None
        return _KINDS[letter], await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None


async def write(writer: asyncio.StreamWriter, kind: Kind, content: bytes = b"") -> None:
    """Send content as one frame, or as several where it is long. Raises OSError once the other side is gone."""
    for start in range(0, len(content) or 1, MOST_BYTES):
        piece = content[start : start + MOST_BYTES]
        writer.write(_HEAD.pack(_LETTERS[kind], len(piece)) + piece)
    await writer.drain()
