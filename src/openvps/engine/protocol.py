"""What we ask of an engine: three protocols over value objects.

`Machines` acts on one server's machine, `Snapshots` on what it was, `Cell` looks at and prepares the whole. Every
verb looks first or may be repeated; none takes longer than about 5 s: what does goes on in the engine, raises `Busy`,
and is found finished by a later look.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol


class EngineError(Exception):
    """The engine refused or failed.

    EngineError
    ├── Busy      an operation on this machine is under way: look again
    ├── Away      the engine can't be reached, or didn't answer in time: nothing is known
    ├── Missing   there is no such machine, image or file
    ├── DiskFull  the machine's own disk quota is used up
    └── TooMuch   a disk has more in it than can be read
    """


class Busy(EngineError):
    """An operation on this machine is under way; look again soon."""


class Away(EngineError):
    """The engine didn't answer; whether it acted is unknown."""


class Missing(EngineError):
    """There is no such machine, image or file."""


class DiskFull(EngineError):
    """The machine's own disk quota is used up, so the engine can't write beside it."""


class TooMuch(EngineError):
    """A disk has more in it than can be read; the text says what."""


@dataclass(frozen=True)
class MachineSpec:
    """What a machine should be. Sizes: MiB of memory, GB (10^9 bytes) of disk."""

    name: str
    image: str  # fingerprint
    vcpus: int
    memory_mib: int
    storage_gb: int
    hostname: str
    addresses: Sequence[str]
    nic: str  # name of the interface on the host, at most 15 characters; empty: no network at all
    nic_parent: str | None = None
    authorized_keys: Sequence[str] = ()
    nameservers: Sequence[str] = ()
    user_data: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict[str, str])  # our own notes, e.g. {"reboot": "3"}


@dataclass(frozen=True)
class Machine:
    """What a machine is, seen by one look."""

    name: str
    status: Literal["running", "stopped", "other"]
    vcpus: int
    memory_mib: int
    storage_gb: int
    hostname: str
    marks: Mapping[str, str]
    stopped_by_guest: bool = False  # the engine noted a clean end; so it does in a reboot from inside, for a moment
    disk_used_bytes: int | None = None  # only from `Cell.machines`


@dataclass(frozen=True)
class DiskSnapshot:
    """A machine's disk as it was; `size_bytes` is what it alone keeps, None where the engine can't tell."""

    name: str
    size_bytes: int | None


@dataclass(frozen=True)
class ImageOfDisk:
    """An image that was made of a snapshot; `size_bytes` of its file, which may be compressed."""

    fingerprint: str
    size_bytes: int


@dataclass(frozen=True)
class Claim:
    """What a disk's files claim to be, holes and all; of them the largest, its path fit to be shown."""

    size_bytes: int
    largest: str
    largest_bytes: int


@dataclass(frozen=True)
class Usage:
    """One machine's counters since its start, and its memory in use now."""

    cpu_seconds: float
    memory_used_bytes: int
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class StoredImage:
    """An image of the cell; `of_snapshot` names the snapshot that it was made of, if it was."""

    fingerprint: str
    of_snapshot: str | None


@dataclass(frozen=True)
class Inventory:
    """Everything that a cell keeps in our project."""

    addresses: Mapping[str, frozenset[str]]  # of each machine, by its name
    snapshots: frozenset[tuple[str, str]]  # machine and snapshot
    images: Sequence[StoredImage]
    volumes: frozenset[tuple[str, str]]  # kind, in the engine's words, and name; those of a machine are named as it
    profiles: frozenset[str]  # but the one that is always there
    unrecorded: frozenset[tuple[str, str]] = frozenset()  # likewise: disks that the engine knows nothing of
    unsearched: str | None = None  # why the pool couldn't be searched for those


@dataclass(frozen=True)
class Capacity:
    """What a cell's hosts have in all; `largest_host_cpus` bounds a single server."""

    cpus: int
    largest_host_cpus: int
    memory_mib: int
    disk_gb: int


RESTORING = "restoring"  # a mark of the disk: gone as soon as the machine was given another
BEGUN = "begun"  # the first event of a stream: what happened before it wasn't told


@dataclass(frozen=True)
class Event:
    """Something happened to a machine; `kind` is the engine's own word, e.g. `instance-shutdown`, or BEGUN."""

    machine: str
    kind: str
    at: datetime


class Terminal(Protocol):
    """A machine's serial console, open."""

    async def read(self) -> bytes:
        """Return what the machine wrote; no bytes at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Type into the machine. Raises Away once the console is gone."""
        ...

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the machine how large the screen is, if it has what takes it. Raises EngineError."""
        ...


class Machines(Protocol):
    """One server's machine. Raises EngineError's."""

    async def look(self, name: str) -> Machine | None:
        """Return what is there, or None. Raises Busy while it is being made or gets another disk."""
        ...

    async def create(self, spec: MachineSpec, *, start: bool = True) -> None:
        """Make the machine and, unless it is to be given another disk first, start it, in one operation."""
        ...

    async def configure(self, name: str, spec: MachineSpec) -> None:
        """Write limits, devices, hostname and marks from `spec`."""
        ...

    async def mark(self, name: str, key: str, value: str) -> None:
        """Keep one of our own notes on the machine."""
        ...

    async def start(self, name: str) -> None:
        """Start it; running already is success. A full disk is given a little room."""
        ...

    async def stop(self, name: str, grace_s: int) -> None:
        """Ask for a clean shutdown, given up after `grace_s`; returns at once."""
        ...

    async def kill(self, name: str) -> None:
        """Cut the power; stopped already is success."""
        ...

    async def delete(self, name: str) -> None:
        """Remove the stopped machine with its disk and snapshots; absent already is success."""
        ...

    async def read_file(self, name: str, path: str, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes of a file in the machine. Raises Missing."""
        ...

    async def run(self, name: str, argv: Sequence[str], stdin: bytes = b"") -> int:
        """Run a program in the machine and return its exit code."""
        ...

    def console(self, name: str) -> AbstractAsyncContextManager[Terminal]:
        """Open the serial console of a running machine, taking it over from whoever has it."""
        ...


class Snapshots(Protocol):
    """A machine's disk as it was. Raises EngineError's."""

    async def snapshot(self, name: str, snapshot: str) -> DiskSnapshot:
        """Keep the disk of the machine as it is now, running or not; kept already under this name is success."""
        ...

    async def restore(self, name: str, snapshot: str) -> None:
        """Put the stopped machine's disk back; its config and marks go back too. Raises Missing."""
        ...

    async def claim(self, name: str, snapshot: str) -> Claim:
        """Say what reading a snapshot would come to, from its folders alone. Raises Missing, TooMuch.

        A copy of the machine is there meanwhile, off and named as the snapshot; `delete` removes it where we died.
        """
        ...

    async def publish(self, name: str, snapshot: str) -> ImageOfDisk:
        """Make an image of a snapshot, known by the snapshot's name; there already is success. Raises Missing.

        Its tarball is compressed by zstd, so that files' holes take no room.
        """
        ...

    async def put_back(self, name: str, image: str, stored: int, whole: Callable[[str], Awaitable[None]]) -> None:
        """Make an image, known as `image`, of a stored one that is read from the file descriptor `stored`.

        Only its files are taken; `whole`, given their digest, raises where they aren't what they were. There already
        is success.
        """
        ...

    async def published(self, image: str) -> ImageOfDisk | None:
        """Return the image known by this name, None where there is none."""
        ...

    async def unpublish(self, snapshot: str) -> None:
        """Forget the image of a snapshot; absent already is success."""
        ...

    async def rebuild(self, name: str, image: str) -> None:
        """Give the stopped machine, which has no snapshots, a fresh disk of this image. Raises Missing."""
        ...

    async def renew(self, name: str, spec: MachineSpec) -> None:
        """Write all that a stopped machine is from `spec`, as if new: nothing of a restored config stays."""
        ...

    async def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Forget a snapshot; absent already is success, the machine too."""
        ...


class Cell(Protocol):
    """One endpoint and project of the engine."""

    async def capacity(self) -> Capacity:
        """Return what the hosts have."""
        ...

    async def ping(self) -> None:
        """Return if the engine can do its work now. Raises Away."""
        ...

    async def machines(self) -> list[Machine]:
        """Return every machine of the cell in one call, with its disk use."""
        ...

    async def usage(self) -> dict[str, Usage]:
        """Return every running machine's counters in one call, by name."""
        ...

    async def inventory(self) -> Inventory:
        """Return all that is kept in the cell, one call for each kind of thing."""
        ...

    async def delete_volume(self, name: str) -> None:
        """Remove a volume that is no machine's, with its snapshots; absent already is success."""
        ...

    async def delete_profile(self, name: str) -> None:
        """Remove a profile; absent already is success."""
        ...

    async def images(self) -> list[str]:
        """Return the fingerprints of the images that are there."""
        ...

    async def add_image(self, file: Path) -> str:
        """Import a unified image tarball; returns its fingerprint, also when it was there already."""
        ...

    async def export_image(self, fingerprint: str, file: Path) -> None:
        """Write an image to a file, as `add_image` takes it. Raises Missing."""
        ...

    async def delete_image(self, fingerprint: str) -> None:
        """Remove an image; absent already is success."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """Say that the stream has begun, then yield machines' lifecycle events until it ends (raises Away)."""
        ...

    async def forget_address(self, address: str) -> None:
        """Flush what the host's connection tracking knows of a freed address."""
        ...


class Engine(Machines, Snapshots, Cell, Protocol):
    """All of them, as an implementation offers them."""

    async def close(self) -> None:
        """Return the connections."""
        ...
