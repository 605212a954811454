"""How much the files of a machine that is off claim to be, holes and all: their sizes, listed by the engine's SFTP.

Nothing is asked of the machine's own programs, which may lie, and nothing is read but folders: a file of 10 TB in
which nothing was ever written costs as much as an empty one. Only as much of SFTP (version 3) is spoken as that
takes.
"""

import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from openvps.engine.protocol import Away, Claim, EngineError, TooMuch

INIT, VERSION, CLOSE, OPENDIR, READDIR, STATUS, HANDLE, NAME = 1, 2, 4, 11, 12, 101, 102, 104
SPOKEN = 3  # the version
END = 1  # a status: the folder has no more
SIZE, OWNER, MODE, TIMES, MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000  # which attributes follow
KIND, FOLDER, FILE = 0o170000, 0o040000, 0o100000
AT_ONCE = 32  # questions under way
FOLDERS_MOST = 1_000_000  # that wait: more would take our memory
PACKET_MOST = 1 << 20
CHUNK = 1 << 16
PATIENCE_S = 30.0
NAME_MOST = 200


class Stream(Protocol):
    """Two ends of a connection."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- httpcore's form
        """Return what came, nothing at the end."""
        ...

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- as above
        """Send all of it."""
        ...


@dataclass(frozen=True)
class _Listed:
    """One name in a folder; of a file with several names each has its part of the size."""

    name: bytes
    kind: int
    size_bytes: int
    links: int


@dataclass
class _Walk:
    """The folders that are yet to be listed, and what has been found."""

    folders: list[bytes] = field(default_factory=lambda: [b""])
    asked: dict[int, tuple[int, bytes, bytes]] = field(default_factory=dict[int, tuple[int, bytes, bytes]])
    number: int = 0
    total: float = 0
    largest: tuple[int, bytes] = (0, b"")

    def ask(self, kind: int, folder: bytes, handle: bytes = b"") -> bytes:
        self.number += 1
        self.asked[self.number] = (kind, folder, handle)
        text = (folder or b"/") if kind == OPENDIR else handle
        return _packet(kind, struct.pack(">II", self.number, len(text)) + text)

    def more(self) -> bytes:
        """Return the questions that there is room for."""
        questions = b""
        while self.folders and len(self.asked) < AT_ONCE:
            questions += self.ask(OPENDIR, self.folders.pop())
        return questions

    def answered(self, kind: int, body: memoryview) -> bytes:
        """Take an answer, and return the question that follows from it."""
        asked, folder, handle = self.asked.pop(_number(body, 0), (0, b"", b""))
        if (asked, kind) == (OPENDIR, HANDLE):
            return self.ask(READDIR, folder, _text(body, 4)[0])
        if (asked, kind) == (READDIR, NAME):
            for one in _names(body):
                self.found(folder, one)
            return self.ask(READDIR, folder, handle)
        if (asked, kind) == (READDIR, STATUS) and _number(body, 4) == END:
            return self.ask(CLOSE, folder, handle)
        if (asked, kind) == (CLOSE, STATUS):
            return b""
        raise EngineError(f"{told(folder)} can't be listed: {kind} to {asked}")

    def found(self, folder: bytes, one: _Listed) -> None:
        path = folder + b"/" + one.name
        if one.kind == FOLDER and one.name not in {b".", b".."}:
            if len(self.folders) >= FOLDERS_MOST:
                raise TooMuch(f"there are more than {FOLDERS_MOST:,} folders side by side")
            self.folders.append(path)
        elif one.kind == FILE:
            self.total += one.size_bytes / one.links
            self.largest = max(self.largest, (one.size_bytes, path))


async def claim_of(stream: Stream) -> Claim:
    """Return what all files together, and the largest of them, claim to be. Raises EngineError."""
    await stream.write(_packet(INIT, struct.pack(">I", SPOKEN)), PATIENCE_S)
    packets, walk = _packets(stream), _Walk()
    if (await anext(packets))[0] != VERSION:
        raise EngineError("what answered speaks no SFTP")
    await stream.write(walk.more(), PATIENCE_S)
    while walk.asked:
        kind, body = await anext(packets)
        if questions := walk.answered(kind, body) + walk.more():
            await stream.write(questions, PATIENCE_S)
    size_bytes, path = walk.largest
    return Claim(size_bytes=round(walk.total), largest=told(path), largest_bytes=size_bytes)


def told(path: bytes) -> str:
    """Return a path to be shown: a customer chose it."""
    text = "".join(one if one.isprintable() else "?" for one in path.decode(errors="replace"))
    return text if len(text) <= NAME_MOST else f"{text[:NAME_MOST]}…"


def _packet(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


async def _packets(stream: Stream) -> AsyncIterator[tuple[int, memoryview]]:
    """Yield what comes, cut into packets: kind and body. Raises Away at the end."""
    held = bytearray()
    while True:
        while len(held) > 4 and len(held) >= 4 + (length := int.from_bytes(held[:4])):  # noqa: PLR2004 -- a number's bytes
            kind, packet = held[4], bytes(held[5 : 4 + length])
            del held[: 4 + length]
            yield kind, memoryview(packet)
        if len(held) > PACKET_MOST:
            raise EngineError("a packet that is none")
        if not (chunk := await stream.read(CHUNK, PATIENCE_S)):
            raise Away("the engine ended while folders were listed")
        held += chunk


def _names(body: memoryview) -> Iterator[_Listed]:
    at = 8
    for _ in range(_number(body, 4)):
        name, at = _text(body, at)
        long, at = _text(body, at)
        flags, at = _number(body, at), at + 4
        size = mode = 0
        if flags & SIZE:
            size, at = int.from_bytes(body[at : at + 8]), at + 8
        if flags & OWNER:
            at += 8
        if flags & MODE:
            mode, at = _number(body, at), at + 4
        if flags & TIMES:
            at += 8
        if flags & MORE:
            pairs, at = _number(body, at), at + 4
            for _ in range(2 * pairs):
                _, at = _text(body, at)
        yield _Listed(name, mode & KIND, size, _links(long))


def _links(long: bytes) -> int:
    """Return how many names a file has: the second word of its line, which is as `ls -l` writes it."""
    words = long.split(None, 2)
    return max(1, int(words[1])) if len(words) > 1 and words[1].isdigit() else 1


def _number(body: memoryview, at: int) -> int:
    return int.from_bytes(body[at : at + 4])


def _text(body: memoryview, at: int) -> tuple[bytes, int]:
    """Return a text, and where what follows it begins."""
    end = at + 4 + _number(body, at)
    return bytes(body[at + 4 : end]), end
