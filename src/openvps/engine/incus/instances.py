"""Machines on Incus: one instance each, every verb repeatable.

A verb whose operation outlasts one wait raises Busy and goes on in the engine. The trap of this room: Incus
writes beside the customer's files, inside their quota (`backup.yaml`, the folder's owner). Once that is used up
it fails to start the instance, and says that a change or a stop failed which has in fact happened.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from openvps.engine.incus import config as words
from openvps.engine.incus import console, host
from openvps.engine.incus.client import SUCCESS, Client
from openvps.engine.incus.guest import Guest
from openvps.engine.protocol import Busy, DiskFull, EngineError, Machine, MachineSpec, Missing, Terminal

# Room given above a full quota when such a machine is started. It stays: btrfs refuses to change a limit, up or
# down, once less than a block is left below it, so taking the room back could lock the machine for good. What a
# customer can gain is bounded by SPARE_MOST over the machine's life.
SPARE_STEP, SPARE_MOST = 16 << 20, 512 << 20
SPARE_STEPS_A_START = 3

STALE_NIC_TEXTS = ("Failed to create the veth interfaces", "File exists")
EXISTS_TEXTS = ("already exists", "UNIQUE constraint failed: instances")
# What gives a machine its disk. Told to rebuild while it rebuilds, Incus does both at once, and the disk is lost.
DISK_WORK = ("Creating instance", "Rebuilding instance", "Restoring snapshot")
SETTLE_S, SETTLE_LOOKS = 0.1, 5  # how long a machine's end may take to be recorded


class IncusMachines:
    """The `Machines` of one Incus project."""

    def __init__(self, client: Client, pool: str) -> None:
        self._client = client
        self._pool = pool
        self._guest = Guest(client)

    async def look(self, name: str) -> Machine | None:
        """Return what is there, or None. Raises Busy while it is being made or gets another disk."""
        try:
            instance = await self._client.get(path_of(name))
            # A running one needs no second question: this is the hot path.
            if instance["status"] != "Running":
                # The record appears before the disk does, and is there while the disk is another's.
                if await self._being_made(name):
                    raise Busy(f"{name} is being made")
                instance = await self._settled(name, instance)
        except Missing:
            return None
        return words.machine_of(instance)

    async def create(self, spec: MachineSpec, *, start: bool = True) -> None:
        """Make the machine and, unless it is to be given another disk first, start it, in one operation."""
        wanted: dict[str, Any] = {
            "name": spec.name,
            "type": "container",
            "start": start,
            "profiles": [],  # nothing of a machine comes from elsewhere than its spec
            "config": words.config_of(spec),
            "devices": words.devices_of(spec, self._pool),
            "source": {"type": "image", "fingerprint": spec.image},
        }
        try:
            await self._client.run("POST", "/1.0/instances", json=wanted)
        except EngineError as error:
            if not any(text in str(error) for text in EXISTS_TEXTS) or await self.look(spec.name) is None:
                raise

    async def configure(self, name: str, spec: MachineSpec) -> None:
        """Write limits, devices, hostname and marks from `spec`; live where the engine can."""
        body, etag = await self._client.answer("GET", path_of(name))
        present = body["metadata"]
        wanted: dict[str, Any] = {
            "architecture": present["architecture"],
            "ephemeral": False,
            "profiles": [],
            "config": {**words.kept(present["config"]), **words.config_of(spec)},
            "devices": words.devices_of(spec, self._pool),
        }
        root, old_root = wanted["devices"]["root"], present["devices"].get("root", {})
        if words.plan_gb(old_root) >= spec.storage_gb:
            root["size"] = old_root["size"]  # with the room it was given; and no disk is made smaller
        # Incus 6.0 hands CPUs out anew as soon as it hears of a change, often before it has written it (mended after
        # by its e7645bbfe5). So they are changed alone, and last, and written twice: whichever of the two numbers
        # the second handing out reads, it is the right one.
        cpus = wanted["config"]["limits.cpu"]
        wanted["config"]["limits.cpu"] = present["config"].get("limits.cpu", cpus)
        if any(present[key] != value for key, value in wanted.items()):
            await self._update("PUT", name, wanted, headers={"If-Match": etag})
        if wanted["config"]["limits.cpu"] != cpus:
            for number in (words.unsettled(cpus), cpus):
                await self._update("PATCH", name, {"config": {"limits.cpu": number}})

    async def mark(self, name: str, key: str, value: str) -> None:
        """Keep one of our own notes on the machine."""
        await self._update("PATCH", name, {"config": {words.mark_key(key): value}})

    async def start(self, name: str) -> None:
        """Start it; running already is success. A full disk is given a little room."""
        try:
            await self._set_state(name, "start", unless="already running")
        except DiskFull:
            await self._start_full(name)
        except EngineError as error:
            if not await self._freed_nic(name, str(error)):
                raise
            await self._set_state(name, "start", unless="already running")

    async def stop(self, name: str, grace_s: int) -> None:
        """Ask for a clean shutdown, given up after `grace_s`; returns at once."""
        body = {"action": "stop", "timeout": grace_s, "force": False}
        await self._client.begin("PUT", f"{path_of(name)}/state", json=body)

    async def kill(self, name: str) -> None:
        """Cut the power; stopped already is success."""
        try:
            await self._set_state(name, "stop", unless="already stopped", force=True)
        except DiskFull:
            machine = await self.look(name)
            if machine and machine.status == "running":
                raise

    async def delete(self, name: str) -> None:
        """Remove the stopped machine with its disk and snapshots; absent already is success."""
        try:
            await self._client.run("DELETE", path_of(name))
        except Missing:
            return

    async def read_file(self, name: str, path: str, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes of a file in the machine. Raises Missing."""
        return await self._guest.read_file(name, path, limit)

    async def run(self, name: str, argv: Sequence[str], stdin: bytes = b"") -> int:
        """Run a program in the machine and return its exit code."""
        return await self._guest.run(name, argv, stdin)

    def console(self, name: str) -> AbstractAsyncContextManager[Terminal]:
        """Open the serial console of a running machine, taking it over from whoever has it."""
        return console.opened(self._client, name)

    async def _settled(self, name: str, instance: dict[str, Any]) -> dict[str, Any]:
        """The end of a guest's init is seen a moment before Incus notes it; after a crash it never does."""
        for _ in range(SETTLE_LOOKS):
            if not words.ended_unnoted(instance):
                break
            await asyncio.sleep(SETTLE_S)
            instance = await self._client.get(path_of(name))
        return instance

    async def _being_made(self, name: str) -> bool:
        operations: dict[str, list[dict[str, Any]]] = await self._client.get("/1.0/operations", recursion="1")
        return any(
            operation["description"] in DISK_WORK and name in subjects(operation)
            for group in operations.values()
            for operation in group
            if operation["status_code"] < SUCCESS
        )

    async def _set_state(self, name: str, action: str, *, unless: str, force: bool = False) -> None:
        try:
            await self._client.run("PUT", f"{path_of(name)}/state", json={"action": action, "force": force})
        except EngineError as error:
            if unless not in str(error):
                raise

    async def _update(self, method: str, name: str, wanted: Mapping[str, Any], **sent: Any) -> None:
        """Change the instance. On a full disk the change is made and then called failed: look."""
        try:
            await self._client.run(method, path_of(name), json=wanted, **sent)
        except DiskFull:
            present = await self._client.get(path_of(name))
            for part in ("config", "devices"):
                if not wanted.get(part, {}).items() <= present[part].items():
                    raise

    async def _freed_nic(self, name: str, failure: str) -> bool:
        """Remove the stopped machine's interface where that is what the start failed at; returns whether it was.

        A start that fails may leave it on the host, in the way of every later one. On another machine's engine we
        can't: there it stays until somebody removes it.
        """
        if not self._client.local or not all(text in failure for text in STALE_NIC_TEXTS):
            return False
        nic: str = (await self._client.get(path_of(name)))["devices"]["eth0"]["host_name"]
        everyone: list[dict[str, Any]] = await self._client.get("/1.0/instances", recursion="1")
        users = [one for one in everyone if one["devices"].get("eth0", {}).get("host_name") == nic]
        if f'"{nic}"' not in failure or any(one["status"] != "Stopped" for one in users):
            return False
        await host.remove_interface(nic)
        return True

    async def _start_full(self, name: str) -> None:
        instance = await self._client.get(path_of(name), recursion="1")
        root = instance["devices"]["root"]
        most = words.plan_gb(root) * words.GB + SPARE_MOST
        # What is used may be far above what is allowed: what was written while the kernel had lost count.
        size = max(words.size_bytes(root["size"]), words.machine_of(instance).disk_used_bytes or 0)
        for _ in range(SPARE_STEPS_A_START):
            size += SPARE_STEP
            if size > most:
                break
            await self._update("PATCH", name, {"devices": {"root": {**root, "size": f"{size}B"}}})
            with contextlib.suppress(DiskFull):
                return await self._set_state(name, "start", unless="already running")
        raise DiskFull(f"{name} has filled its disk, and the room given to start it")


def path_of(name: str) -> str:
    """Return an instance's address."""
    return f"/1.0/instances/{name}"


def subjects(operation: Mapping[str, Any]) -> set[str]:
    """Return the instances that an operation is about."""
    resources: dict[str, list[str]] = operation["resources"] or {}
    return {url.partition("?")[0].rpartition("/")[2] for url in resources.get("instances") or ()}
