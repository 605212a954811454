"""Files with holes in a tarball: a block of zeros is a hole, written as GNU tar does (its sparse format 1.0).

The engine writes holes out as zeros, and what is stored has them like that: compressed and deduplicated they are
nothing. A disk that is put together of it gets them back as holes, or a file of 100 GB with nothing in it would need
a disk of 100 GB. A tarball lists a file's parts before it has them: so they are kept until the file has ended, in one
without a name. Of a file that shows no hole early, or has too much in it, no holes are made.
"""

import io
import tarfile
from collections.abc import Iterator
from copy import copy
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol

BLOCK = 4096
BUFFER = 128 << 10  # bytes; of whole blocks
ZEROS, NOTHING = bytes(BLOCK), bytes(BUFFER)
LEAST = 64 << 10  # bytes of a file that is worth looking at
IN_MEMORY = 1 << 20
FIRST_HOLE_WITHIN = 64 << 20  # bytes of data
DATA_MOST = 4 << 30  # of one file with holes; tar's plain headers end at 8 GiB
PARTS_MOST = 100_000  # of one file
KEPT_IN = "/var/tmp"  # noqa: S108 -- a file without a name; /tmp may be memory


class Source(Protocol):
    """What a file's content is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; as many as asked for, but at the end."""
        ...


def data_in(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what isn't blocks of zeros."""
    if ZEROS not in chunk:
        yield 0, len(chunk)
        return
    begin = 0
    if chunk == NOTHING:
        return
    for at in range(0, len(chunk), BLOCK):
        if chunk[at : at + BLOCK] == ZEROS[: len(chunk) - at]:
            if begin < at:
                yield begin, at
            begin = at + BLOCK
    if begin < len(chunk):
        yield begin, len(chunk)


def add(tar: tarfile.TarFile, entry: tarfile.TarInfo, content: Source) -> None:
    """Add a file whose blocks of zeros are holes; `content` is read to its end."""
    if entry.size < LEAST:
        tar.addfile(entry, _as_file(content))
        return
    with SpooledTemporaryFile(IN_MEMORY, dir=KEPT_IN) as kept:
        parts, read = _keep(content, kept)
        kept.seek(0)
        if read == entry.size and sum(length for _, length in parts) < read:
            _add_parts(tar, entry, parts, kept)
        else:
            tar.addfile(entry, _as_file(_Again(parts, read, kept, content)))


def _keep(content: Source, kept: IO[bytes]) -> tuple[list[tuple[int, int]], int]:
    """Keep the parts with data as long as they may be wanted; returns where they are, and how far it was read."""
    parts: list[tuple[int, int]] = []
    read = data = 0
    while (data == read < FIRST_HOLE_WITHIN or data < min(read, DATA_MOST)) and len(parts) < PARTS_MOST:
        if not (chunk := content.read(BUFFER)):
            break
        for begin, end in data_in(chunk):
            kept.write(chunk[begin:end])
            data += end - begin
            if parts and sum(parts[-1]) == read + begin:
                parts[-1] = (parts[-1][0], parts[-1][1] + end - begin)
            else:
                parts.append((read + begin, end - begin))
        read += len(chunk)
    return parts, read


def _add_parts(tar: tarfile.TarFile, entry: tarfile.TarInfo, parts: list[tuple[int, int]], kept: IO[bytes]) -> None:
    listed = [*parts, (entry.size, 0)]
    numbers = [len(listed), *(number for part in listed for number in part)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    text += bytes(-len(text) % tarfile.BLOCKSIZE)
    sparse = copy(entry)
    sparse.size = len(text) + sum(length for _, length in parts)
    sparse.pax_headers = {
        **entry.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": entry.name,
        "GNU.sparse.realsize": str(entry.size),
    }
    tar.addfile(sparse, _as_file(_Chain(io.BytesIO(text), kept)))


class _Chain:
    """One thing to be read behind another."""

    def __init__(self, *sources: Source) -> None:
        self._sources = list(sources)

    def read(self, size: int = -1, /) -> bytes:
        chunk = b""
        while self._sources and len(chunk) < size:
            if more := self._sources[0].read(size - len(chunk)):
                chunk += more
            else:
                del self._sources[0]
        return chunk


class _Again(_Chain):
    """What was kept, with its zeros, and then the rest."""

    def __init__(self, parts: list[tuple[int, int]], read: int, kept: IO[bytes], rest: Source) -> None:
        def whole() -> Iterator[Source]:
            at = 0
            for begin, length in [*parts, (read, 0)]:
                yield _Zeros(begin - at)
                yield _Limited(kept, length)
                at = begin + length

        super().__init__(*whole(), rest)


class _Limited:
    """The next bytes of something."""

    def __init__(self, source: Source, left: int) -> None:
        self._source, self._left = source, left

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._source.read(min(size, self._left))
        self._left -= len(chunk)
        return chunk


class _Zeros:
    """So many zeros."""

    def __init__(self, left: int) -> None:
        self._left = left

    def read(self, size: int = -1, /) -> bytes:
        chunk = bytes(min(size, self._left))
        self._left -= len(chunk)
        return chunk


def _as_file(source: Source) -> IO[bytes]:
    return source  # pyright: ignore[reportReturnType] -- tarfile reads it, and does nothing else with it
