"""A SIMULATED engine, for tests of what is above engines: machines in memory, as Incus's behave as far as we know.

No real server is there. Where it must be known what a real engine does, the tests under live/, engine/ and faults/
ask a real one; `engine/test_simulated.py` has both do the same and compares what is seen. As with Incus, operations
take time and are in each other's way (Busy), a clean stop goes on by itself, a restored snapshot puts config and
marks back, and a machine that runs greets at port 22 of its own address (which so must be of 127.0.0.0/8).
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from openvps.engine.protocol import (
    BEGUN,
    RESTORING,
    Busy,
    Capacity,
    Claim,
    DiskSnapshot,
    EngineError,
    Event,
    ImageOfDisk,
    Inventory,
    Machine,
    MachineSpec,
    Missing,
    StoredImage,
    Terminal,
    Usage,
)

KEYS = "/root/.ssh/authorized_keys"
ROOM = Capacity(cpus=1 << 16, largest_host_cpus=64, memory_mib=1 << 28, disk_gb=1 << 24)


@dataclass
class _Disk:
    image: str
    files: dict[str, bytes]


@dataclass
class _Kept:
    """A snapshot: what the machine was, and its disk."""

    spec: MachineSpec
    disk: _Disk


@dataclass
class _Made:
    """One machine."""

    spec: MachineSpec
    disk: _Disk
    running: bool = False
    stopped_by_guest: bool = False
    shutting_down: bool = False
    busy: str | None = None  # the operation under way
    snapshots: dict[str, _Kept] = field(default_factory=dict[str, _Kept])
    sshd: asyncio.Server | None = None


class Simulated:
    """All verbs of an engine; each operation takes `takes_s`, a guest's clean shutdown `shutdown_s`."""

    def __init__(self, *, takes_s: float = 0.0, shutdown_s: float = 0.0, waits_s: float = 4.0) -> None:
        self.takes_s, self.shutdown_s, self.waits_s = takes_s, shutdown_s, waits_s
        self._machines: dict[str, _Made] = {}
        self._images: set[str] = set()
        self._disks: dict[str, ImageOfDisk] = {}  # published
        self._contents: dict[str, _Disk] = {}
        self._listening: list[asyncio.Queue[Event]] = []
        self._going_on: set[asyncio.Task[None]] = set()

    # one machine

    async def look(self, name: str) -> Machine | None:
        """Return what is there, or None. Raises Busy while it is being made."""
        found = self._machines.get(name)
        if found is not None and found.busy == "create":
            raise Busy(f"{name} is being made")
        return self._seen(found) if found else None

    async def create(self, spec: MachineSpec, *, start: bool = True) -> None:
        """Make the machine, and start it unless told otherwise, in one operation of the engine."""
        if (there := self._machines.get(spec.name)) is not None:
            if there.busy:
                raise Busy(f"{spec.name} is being made")
            return
        if spec.image not in self._images and spec.image not in self._contents:
            raise Missing("image not provided")
        made = self._machines[spec.name] = _Made(spec, self._fresh(spec))
        await self._operation(made, "create", lambda: self._start(made) if start else None)

    async def configure(self, name: str, spec: MachineSpec) -> None:
        """Write limits, devices, hostname and marks from `spec`."""
        made = self._free(name)
        storage = max(made.spec.storage_gb, spec.storage_gb)
        changed = replace(spec, storage_gb=storage, image=made.spec.image, marks={**made.spec.marks, **spec.marks})
        await self._operation(made, "configure", lambda: self._set(made, changed))

    async def mark(self, name: str, key: str, value: str) -> None:
        """Keep one of our own notes on the machine."""
        made = self._free(name)
        changed = replace(made.spec, marks={**made.spec.marks, key: value})
        await self._operation(made, "mark", lambda: self._set(made, changed))

    async def start(self, name: str) -> None:
        """Start it; running already is success."""
        made = self._free(name)
        if not made.running:
            await self._operation(made, "start", lambda: self._start(made))

    async def stop(self, name: str, grace_s: int) -> None:
        """Ask for a clean shutdown, given up after `grace_s`; returns at once."""
        made = self._free(name)
        if made.running and not made.shutting_down:
            made.shutting_down = True
            self._go_on(self._shut_down(made, grace_s))

    async def kill(self, name: str) -> None:
        """Cut the power; stopped already is success."""
        made = self._free(name)
        if made.running:
            await self._operation(made, "kill", lambda: self._halt(made, by_guest=True))

    async def delete(self, name: str) -> None:
        """Remove the stopped machine with its disk and snapshots; absent already is success."""
        if name not in self._machines:
            return
        made = self._free(name)
        if made.running:
            raise EngineError("The instance is currently running")
        await self._operation(made, "delete", lambda: self._remove(name))

    async def read_file(self, name: str, path: str, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes of a file in the machine. Raises Missing."""
        files = self._there(name).disk.files
        if path not in files:
            raise Missing(path)
        return files[path][:limit]

    async def run(self, name: str, argv: Sequence[str], stdin: bytes = b"") -> int:
        """Run a program in the machine, of those few that it has, and return its exit code."""
        made = self._there(name)
        if not made.running:
            raise EngineError("Instance is not running")
        match list(argv):
            case ["touch", path]:
                made.disk.files[path] = b""
            case ["test", "-e", path]:
                return 0 if path in made.disk.files else 1
            case ["chpasswd", *_]:
                made.disk.files["/root/told"] = stdin
            case ["grep", *_]:
                return 0
            case ["poweroff"]:
                self._halt(made, by_guest=True)
            case _:
                return 127
        return 0

    # what it was

    async def snapshot(self, name: str, snapshot: str) -> DiskSnapshot:
        """Keep the disk of the machine as it is now, running or not; kept already under this name is success."""
        made = self._free(name)
        if snapshot not in made.snapshots:
            kept = _Kept(made.spec, _Disk(made.disk.image, dict(made.disk.files)))
            await self._operation(made, "snapshot", lambda: made.snapshots.update({snapshot: kept}))
        return DiskSnapshot(snapshot, None)

    async def restore(self, name: str, snapshot: str) -> None:
        """Put the stopped machine's disk back; its config and marks go back too. Raises Missing."""
        made = self._free(name)
        if snapshot not in made.snapshots:
            raise Missing(snapshot)
        await self._operation(made, "restore", lambda: self._put_back(made, made.snapshots[snapshot]))

    async def claim(self, name: str, snapshot: str) -> Claim:
        """Say what reading a snapshot would come to. Raises Missing."""
        kept = self._there(name).snapshots.get(snapshot)
        if kept is None:
            raise Missing(snapshot)
        size_bytes, path = max(((len(content), path) for path, content in kept.disk.files.items()), default=(0, "/"))
        return Claim(sum(map(len, kept.disk.files.values())), path, size_bytes)

    async def publish(self, name: str, snapshot: str) -> ImageOfDisk:
        """Make an image of a snapshot, known by the snapshot's name; there already is success. Raises Missing."""
        if snapshot not in self._disks:
            kept = self._there(name).snapshots.get(snapshot)
            if kept is None:
                raise Missing(snapshot)
            fingerprint = hashlib.sha256(snapshot.encode()).hexdigest()
            self._contents[fingerprint] = _Disk(kept.disk.image, dict(kept.disk.files))
            self._disks[snapshot] = ImageOfDisk(fingerprint, 1)
        return self._disks[snapshot]

    async def put_back(self, name: str, image: str, stored: int, whole: Callable[[str], Awaitable[None]]) -> None:
        """It has no disks that a store could have kept."""
        raise EngineError(f"{name}: a simulated disk can't be made of {image} in {stored} ({whole})")

    async def published(self, image: str) -> ImageOfDisk | None:
        """Return the image known by this name, None where there is none."""
        return self._disks.get(image)

    async def unpublish(self, snapshot: str) -> None:
        """Forget the image of a snapshot; absent already is success."""
        self._disks.pop(snapshot, None)

    async def rebuild(self, name: str, image: str) -> None:
        """Give the stopped machine, which has no snapshots, a fresh disk of this image. Raises Missing."""
        made = self._free(name)
        if image not in self._images and image not in self._contents:
            raise Missing("image not provided")
        if made.snapshots or made.running:
            raise EngineError("Cannot rebuild an instance that runs or has snapshots")
        await self._operation(made, "rebuild", lambda: self._rebuild(made, image))

    async def renew(self, name: str, spec: MachineSpec) -> None:
        """Write all that a stopped machine is from `spec`, as if new: nothing of a restored config stays."""
        made = self._free(name)
        await self._operation(made, "renew", lambda: self._set(made, spec))

    async def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Forget a snapshot; absent already is success, the machine too."""
        if name in self._machines:
            self._free(name).snapshots.pop(snapshot, None)

    # the whole

    async def capacity(self) -> Capacity:
        """Return what the hosts have."""
        return ROOM

    async def ping(self) -> None:
        """It is always there; who wants it away wraps it."""

    async def machines(self) -> list[Machine]:
        """Return every machine of the cell in one call, with its disk use."""
        return [replace(self._seen(made), disk_used_bytes=1 << 20) for made in list(self._machines.values())]

    async def usage(self) -> dict[str, Usage]:
        """Return every running machine's counters in one call, by name."""
        return {name: Usage(1.0, 1 << 20, 0, 0) for name, made in self._machines.items() if made.running}

    async def inventory(self) -> Inventory:
        """Return all that is kept in the cell."""
        machines = self._machines.items()
        return Inventory(
            addresses={name: frozenset(made.spec.addresses) for name, made in machines},
            snapshots=frozenset((name, snapshot) for name, made in machines for snapshot in made.snapshots),
            images=[
                *(StoredImage(one, None) for one in sorted(self._images)),
                *(StoredImage(made.fingerprint, snapshot) for snapshot, made in self._disks.items()),
            ],
            volumes=frozenset(("container", name) for name in self._machines),
            profiles=frozenset(),
        )

    async def delete_volume(self, name: str) -> None:
        """There are none but machines' own."""

    async def delete_profile(self, name: str) -> None:
        """There are none."""

    async def images(self) -> list[str]:
        """Return the fingerprints of the images that are there."""
        return sorted(self._images)

    async def add_image(self, file: Path) -> str:
        """Take the file's name for an image; returns its fingerprint."""
        fingerprint = hashlib.sha256(str(file).encode()).hexdigest()
        self._images.add(fingerprint)
        return fingerprint

    async def export_image(self, fingerprint: str, file: Path) -> None:
        """Images are names here."""
        raise Missing(f"{fingerprint} can't be written to {file}")

    async def delete_image(self, fingerprint: str) -> None:
        """Remove an image; absent already is success."""
        self._images.discard(fingerprint)

    async def events(self) -> AsyncIterator[Event]:
        """Say that the stream has begun, then yield machines' lifecycle events."""
        queue = asyncio.Queue[Event]()
        self._listening.append(queue)
        try:
            yield Event("", BEGUN, datetime.now(UTC))
            while True:
                yield await queue.get()
        finally:
            self._listening.remove(queue)

    async def forget_address(self, address: str) -> None:
        """No connections are tracked here."""

    def console(self, name: str) -> AbstractAsyncContextManager[Terminal]:
        """Refuse: a simulated machine has none to type into."""
        raise EngineError(f"{name} is simulated and has no console")

    async def close(self) -> None:
        """Let every operation end, and every machine's sshd."""
        for task in self._going_on:
            task.cancel()
        await asyncio.gather(*self._going_on, return_exceptions=True)
        for made in self._machines.values():
            if made.sshd is not None:
                made.sshd.close()

    # inside

    def _there(self, name: str) -> _Made:
        if name not in self._machines:
            raise Missing(f"Instance not found: {name}")
        return self._machines[name]

    def _free(self, name: str) -> _Made:
        """Return a machine that no operation has in hand. Raises Missing, Busy."""
        made = self._there(name)
        if made.busy:
            raise Busy(f"Instance is busy running a {made.busy} operation")
        return made

    async def _operation(self, made: _Made, what: str, then: Callable[[], Awaitable[None] | None]) -> None:
        """Do something that takes its time; whoever asked waits for some of it, and it goes on without them."""
        made.busy = what
        task = self._go_on(self._take(made, then))
        done, _ = await asyncio.wait([task], timeout=self.waits_s)
        if not done:
            raise Busy(f"{what} is under way")

    async def _take(self, made: _Made, then: Callable[[], Awaitable[None] | None]) -> None:
        try:
            await asyncio.sleep(self.takes_s)
            going_on = then()
            if going_on is not None:
                await going_on
        finally:
            made.busy = None

    def _go_on(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)
        return task

    async def _start(self, made: _Made) -> None:
        made.running, made.stopped_by_guest, made.shutting_down = True, False, False
        v4 = next((one for one in made.spec.addresses if ":" not in one), None)
        if v4 is not None and ip_address(v4).is_loopback and made.sshd is None:
            made.sshd = await asyncio.start_server(_greet, v4, 22)
        self._tell(made, "instance-started")

    def _halt(self, made: _Made, *, by_guest: bool) -> None:
        made.running, made.stopped_by_guest, made.shutting_down = False, by_guest, False
        if made.sshd is not None:
            made.sshd.close()
            made.sshd = None
        self._tell(made, "instance-shutdown")

    async def _shut_down(self, made: _Made, grace_s: float) -> None:
        takes_s = grace_s + 1 if "/ignore" in made.disk.files else self.shutdown_s
        await asyncio.sleep(min(takes_s, grace_s))
        if made.shutting_down and takes_s <= grace_s:
            self._halt(made, by_guest=True)
        made.shutting_down = False

    def _remove(self, name: str) -> None:
        del self._machines[name]

    def _set(self, made: _Made, spec: MachineSpec) -> None:
        made.spec = spec

    def _put_back(self, made: _Made, kept: _Kept) -> None:
        made.spec, made.disk = kept.spec, _Disk(kept.disk.image, dict(kept.disk.files))

    def _rebuild(self, made: _Made, image: str) -> None:
        marks = {key: value for key, value in made.spec.marks.items() if key != RESTORING}
        made.spec = replace(made.spec, image=image, marks=marks)
        made.disk = self._fresh(made.spec)

    def _fresh(self, spec: MachineSpec) -> _Disk:
        files = dict(self._contents[spec.image].files) if spec.image in self._contents else {}
        return _Disk(spec.image, {**files, KEYS: ("\n".join(spec.authorized_keys) + "\n").encode()})

    def _seen(self, made: _Made) -> Machine:
        spec = made.spec
        return Machine(
            name=spec.name,
            status="running" if made.running else "stopped",
            vcpus=spec.vcpus,
            memory_mib=spec.memory_mib,
            storage_gb=spec.storage_gb,
            hostname=spec.hostname,
            marks=dict(spec.marks),
            stopped_by_guest=made.stopped_by_guest,
        )

    def _tell(self, made: _Made, kind: str) -> None:
        for queue in self._listening:
            queue.put_nowait(Event(made.spec.name, kind, datetime.now(UTC)))


async def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.write(b"SSH-2.0-simulated\r\n")
        await writer.drain()
    writer.transport.abort()
