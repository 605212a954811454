"""What is on a disk, read off the tarball of it as it passes by: a line for each file, and one digest of all lines.

A line has all that shall come back: path, kind, mode, owner, size, checksum, links, extended attributes, and a file's
time of change. Two disks with the same digest are the same in all of it. Memory is that of one buffer, however large
the disk.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any, cast

from openvps.engine.holes import BUFFER, data_in

ROOT = "rootfs"
NAME = "manifest.jsonl"  # of its file in a stored tarball, beside the disk's
BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)  # of a tarball
XATTR = "SCHILY.xattr."
CAPABILITY = "security.capability"
CAPABILITY_BYTES = 20  # of version 2; version 3 has the user namespace's root behind it, which is each server's own
KINDS = {
    tarfile.DIRTYPE: "dir",
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
}


class Tar(tarfile.TarFile):
    """One that is read or written as a stream, of which nothing is kept."""

    members: list[tarfile.TarInfo]
    offset: int


class Passing:
    """A tarball that is read, and passed on if there is a sink: but for its end, which `finish` looks at."""

    def __init__(self, source: IO[bytes], sink: IO[bytes] | None = None) -> None:
        self._source = source
        self._sink = sink
        self._held: deque[bytes] = deque()  # what the reader may have seen beyond the last file
        self._passed = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, as tarfile's stream asks for them."""
        chunk = self._source.read(size)
        self._held.append(chunk)
        while len(self._held) > 2:  # noqa: PLR2004 -- the reader is at most one buffer ahead
            self._pass(self._held.popleft())
        return chunk

    def entries(self) -> Iterator[tuple[Tar, tarfile.TarInfo]]:
        """Yield what is in the tarball, to the end. Raises tarfile.TarError where that isn't one.

        tarfile takes what it doesn't understand, and a cut, for the end: so what follows has to be zeros.
        """
        with Tar.open(fileobj=cast("IO[bytes]", self), mode="r|", bufsize=BUFFER) as tar:  # it reads alone
            for entry in tar:
                yield tar, entry
                tar.members.clear()  # which it would keep, all of them
            end = tar.offset
        rest = b"".join(self._held)
        cut = end - self._passed
        self._held.clear()
        self._pass(rest[:cut])
        rest = rest[cut:]
        if cut < 0 or len(rest) < BLOCK:
            raise tarfile.ReadError("the tarball has no end")
        while rest:
            if rest.strip(b"\0"):
                raise tarfile.ReadError(f"what follows byte {end} can't be read")
            rest = self._source.read(BUFFER)

    def _pass(self, chunk: bytes) -> None:
        self._passed += len(chunk)
        if self._sink is not None:
            self._sink.write(chunk)


class Hashed:
    """A file's content that is hashed as it is read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content = content
        self._hash = hashlib.sha256()
        self.data = 0  # bytes, but for blocks of zeros

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        chunk = self._content.read(size)
        self._hash.update(chunk)
        self.data += sum(end - begin for begin, end in data_in(chunk))
        return chunk

    def hexdigest(self) -> str:
        """Return the checksum of what was read."""
        return self._hash.hexdigest()


class Manifest:
    """The lines, as they come, and their digest; kept in a file without a name if they are wanted again."""

    def __init__(self, lines: IO[bytes] | None = None) -> None:
        self._lines = lines
        self._hash = hashlib.sha256()

    def add(self, entry: tarfile.TarInfo, checksum: str | None) -> None:
        """Add a file; `checksum` of what has content."""
        line = json.dumps(line_of(entry, checksum), separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        if self._lines is not None:
            self._lines.write(line)

    @property
    def digest(self) -> str:
        """SHA-256 of all lines."""
        return self._hash.hexdigest()


def line_of(entry: tarfile.TarInfo, checksum: str | None) -> dict[str, Any]:
    """Return what is noted of a file."""
    line: dict[str, Any] = {
        "path": entry.name,
        "kind": KINDS.get(entry.type, "file"),
        "mode": f"{entry.mode & 0o7777:o}",
        "uid": entry.uid,
        "gid": entry.gid,
    }
    if entry.islnk() or entry.issym():
        line["to"] = entry.linkname
    if checksum is not None:
        line |= {"size": entry.size, "sha256": checksum, "changed": int(entry.mtime)}
    if xattrs := {
        key.removeprefix(XATTR): _attribute(key, value)
        for key, value in sorted(entry.pax_headers.items())
        if key.startswith(XATTR)
    }:
        line["xattrs"] = xattrs
    return line


def _attribute(key: str, value: str) -> str:
    if key != XATTR + CAPABILITY:
        return value
    raw = value.encode(errors="surrogateescape")
    return (b"\2" + raw[1:3] + b"\2" + raw[4:CAPABILITY_BYTES] if raw[3:4] == b"\3" else raw).hex()


def is_file_data(entry: tarfile.TarInfo) -> bool:
    """Whether an entry is of the disk, and no device. Raises ValueError where it pretends to be."""
    if not _below_root(entry.name) or entry.ischr() or entry.isblk():
        return False
    if entry.islnk() and not _below_root(entry.linkname):
        raise ValueError(f"a hard link leads outside: {entry.name!r}")
    return True


def _below_root(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise ValueError(f"a name leads outside: {name!r}")
    return bool(parts) and parts[0] == ROOT


def files(passing: Passing, manifest: Manifest) -> int:
    """Note every file of a tarball that passes; returns how much is in them, but for blocks of zeros."""
    data = 0
    for tar, entry in passing.entries():
        if not is_file_data(entry):
            continue
        content = tar.extractfile(entry) if entry.isreg() else None
        hashed = Hashed(content) if content else None
        while hashed and hashed.read(BUFFER):
            pass
        data += hashed.data if hashed else 0
        manifest.add(entry, hashed.hexdigest() if hashed else None)
    return data


def digest_of(source: IO[bytes], lines: IO[bytes] | None = None) -> tuple[str, int]:
    """Return the digest of a tarball's disk, and how much is in it. Raises tarfile.TarError, ValueError."""
    passing, manifest = Passing(source), Manifest(lines)
    data = files(passing, manifest)
    return manifest.digest, data


def pass_on(source: IO[bytes], sink: IO[bytes]) -> tuple[str, int]:
    """Pass a tarball on with its manifest as one more file; returns as `digest_of`."""
    with TemporaryFile() as lines:
        passing, manifest = Passing(source, sink), Manifest(lines)
        data = files(passing, manifest)
        entry = tarfile.TarInfo(NAME)
        entry.size, entry.mode = lines.tell(), 0o600
        lines.seek(0)
        sink.write(entry.tobuf(tarfile.PAX_FORMAT))
        while chunk := lines.read(BUFFER):
            sink.write(chunk)
        sink.write(bytes(-entry.size % BLOCK) + END)
        sink.flush()
    return manifest.digest, data


def copy_lines(stored: int, lines: IO[bytes]) -> None:
    """Write the manifest of a stored tarball, read from a file descriptor, into `lines`."""
    with os.fdopen(os.dup(stored), "rb") as source:
        for tar, entry in Passing(source).entries():
            if entry.name == NAME and (content := tar.extractfile(entry)) is not None:
                shutil.copyfileobj(content, lines)


def first_difference(one: Iterable[bytes], other: Iterable[bytes]) -> str | None:
    """Return the path of the first line in which two manifests differ; None where they don't."""
    for line, its in zip_longest(one, other):
        if line != its:
            return json.loads(min(has for has in (line, its) if has is not None))["path"]
    return None
