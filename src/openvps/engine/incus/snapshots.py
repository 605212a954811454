"""Snapshots on Incus: what a restore brings back besides the disk, and how none of it stays.

A restored snapshot puts back the instance's whole config. With it come a uid map that the snapshot's record was given
when it was taken, which may be another machine's by now, and the note that the machine ran, by which Incus starts it
at the host's next boot. `renew` writes both anew, before anything starts.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx2

from openvps.engine.incus import config as words
from openvps.engine.incus import disk_image, instances
from openvps.engine.incus.cell import CHUNK, UPLOAD_S
from openvps.engine.incus.client import CONNECT_S, SUCCESS, Client
from openvps.engine.incus.instances import path_of, subjects
from openvps.engine.incus.sftp import claim_of
from openvps.engine.protocol import Busy, Claim, DiskSnapshot, EngineError, ImageOfDisk, MachineSpec, Missing

OF_SNAPSHOT = "openvps.snapshot"  # on an image: of which it was made
# Incus writes files' holes out as zeros: uncompressed, one file of a customer could fill the engine's own disk.
COMPRESSED_BY = "zstd -1"
NO_CLUSTER = "none"  # an instance's location on a lone host
EXISTS_TEXTS = ("already exists", "UNIQUE constraint failed: instances_snapshots")


class IncusSnapshots:
    """The `Snapshots` of one Incus project."""

    def __init__(self, client: Client, pool: str) -> None:
        self._client = client
        self._pool = pool
        self._publishing: dict[str, dict[str, Any]] = {}  # operations, by snapshot; who died begins anew

    async def snapshot(self, name: str, snapshot: str) -> DiskSnapshot:
        """Keep the disk of the machine as it is now, running or not; kept already under this name is success."""
        wanted = {"name": snapshot, "stateful": False}
        try:
            await self._client.run("POST", f"{path_of(name)}/snapshots", json=wanted)
        except EngineError as error:
            if not any(text in str(error) for text in EXISTS_TEXTS):
                raise
            if await self._at_work(name):  # the record appears before the disk's copy does
                raise Busy(f"{snapshot} of {name} is being made") from error
        made = await self._client.get(f"{path_of(name)}/snapshots/{snapshot}")
        return DiskSnapshot(snapshot, made["size"] if made.get("size", -1) >= 0 else None)

    async def restore(self, name: str, snapshot: str) -> None:
        """Put the stopped machine's disk back; its config and marks go back too. Raises Missing."""
        await self._client.get(f"{path_of(name)}/snapshots/{snapshot}")
        await self._client.run("PUT", path_of(name), json={"restore": snapshot})

    async def delete_snapshot(self, name: str, snapshot: str) -> None:
        """Forget a snapshot; absent already is success, the machine too."""
        try:
            await self._client.run("DELETE", f"{path_of(name)}/snapshots/{snapshot}")
        except Missing:
            return

    async def claim(self, name: str, snapshot: str) -> Claim:
        """Say what reading a snapshot would come to, from its folders alone. Raises Missing, TooMuch.

        Incus lists the files of instances only: so a copy of the snapshot is made for that, off, without a network,
        named as it. What is listed is what will be read, whatever the customer does meanwhile. In a cluster the copy
        is made where the machine is: elsewhere it would cross the network, and Incus 6.0, left to choose a member,
        doesn't know the architecture of a snapshot.
        """
        location: str = (await self._client.get(path_of(name)))["location"]
        where = {} if location == NO_CLUSTER else {"target": location}
        copied: dict[str, Any] = {
            "name": snapshot,
            "profiles": [],
            "devices": {"eth0": {"type": "none"}},
            "source": {"type": "copy", "source": f"{name}/{snapshot}", "instance_only": True},
        }
        try:
            await self._client.run("POST", "/1.0/instances", query=where, json=copied)
        except EngineError as error:
            if not any(text in str(error) for text in instances.EXISTS_TEXTS):
                raise
            if await self._at_work(snapshot):
                raise Busy(f"{snapshot} is being copied") from error
        async with self._client.upgraded(f"{path_of(snapshot)}/sftp", "sftp") as stream:
            found = await claim_of(stream)
        with contextlib.suppress(Missing):
            await self._client.run("DELETE", path_of(snapshot))
        return found

    async def publish(self, name: str, snapshot: str) -> ImageOfDisk:
        """Make an image of a snapshot, known by the snapshot's name; there already is success. Raises Missing."""
        if (made := await self.published(snapshot)) is not None:
            return made
        if snapshot not in self._publishing:
            wanted = {
                "source": {"type": "snapshot", "name": f"{name}/{snapshot}"},
                "compression_algorithm": COMPRESSED_BY,
                "aliases": [{"name": snapshot}],
                "properties": {OF_SNAPSHOT: snapshot},
            }
            self._publishing[snapshot] = await self._client.begin("POST", "/1.0/images", json=wanted)
        try:
            await self._client.wait(self._publishing[snapshot])
        except EngineError as error:
            if not isinstance(error, Busy) or "result unknown" in str(error):
                del self._publishing[snapshot]
            raise
        del self._publishing[snapshot]
        raise Busy(f"the image of {snapshot} is there")

    async def put_back(self, name: str, image: str, stored: int, whole: Callable[[str], Awaitable[None]]) -> None:
        """Make an image, known as `image`, of a stored one that is read from the file descriptor `stored`.

        Only its files are taken; `whole`, given their digest, raises where they aren't what they were. There already
        is success.
        """
        if await self.published(image) is not None:
            return
        metadata = disk_image.at_starts(await self._client.get(f"{path_of(name)}/metadata"))
        # Two backups with the same files would be one image to Incus, which refuses the second.
        metadata["properties"] = {"of": image}
        templates = {
            one["template"]: await self._template(name, one["template"]) for one in metadata["templates"].values()
        }
        reading, writing = os.pipe()

        def assemble() -> str:
            with os.fdopen(writing, "wb") as out, os.fdopen(os.dup(stored), "rb") as source:
                return disk_image.assemble(metadata, templates, source, out)

        async def content() -> AsyncIterator[bytes]:
            assembling = asyncio.create_task(asyncio.to_thread(assemble))
            try:
                while chunk := await asyncio.to_thread(os.read, reading, CHUNK):
                    yield chunk
                await whole(await assembling)  # what breaks off here is no image: the engine hears no end
            finally:
                os.close(reading)
                await asyncio.gather(assembling, return_exceptions=True)

        operation = await self._client.begin(
            "POST",
            "/1.0/images",
            content=content(),
            headers={
                "Content-Type": "application/octet-stream",
                "X-Incus-filename": f"{image}.tar",
                "X-Incus-aliases": f"alias={image}",
                "X-Incus-properties": urlencode({OF_SNAPSHOT: image}),
            },
            timeout=httpx2.Timeout(UPLOAD_S, connect=CONNECT_S),
        )
        await self._client.wait(operation, UPLOAD_S)

    async def _template(self, name: str, template: str) -> bytes:
        where = f"{path_of(name)}/metadata/templates"
        async with self._client.stream("GET", where, query={"path": template}) as answer:
            return await answer.aread()

    async def unpublish(self, snapshot: str) -> None:
        """Forget the image of a snapshot; absent already is success. One begun by who died is found as well."""
        for image in await self._client.get("/1.0/images", recursion="1"):
            if image["properties"].get(OF_SNAPSHOT) == snapshot:
                with contextlib.suppress(Missing):
                    await self._client.run("DELETE", f"/1.0/images/{image['fingerprint']}")

    async def published(self, image: str) -> ImageOfDisk | None:
        """Return the image known by this name, None where there is none."""
        try:
            target = (await self._client.get(f"/1.0/images/aliases/{image}"))["target"]
            return ImageOfDisk(target, (await self._client.get(f"/1.0/images/{target}"))["size"])
        except Missing:
            return None

    async def rebuild(self, name: str, image: str) -> None:
        """Give the stopped machine, which has no snapshots, a fresh disk of this image. Raises Missing."""
        if await self._at_work(name):
            raise Busy(f"{name} is being rebuilt")
        await self._client.get(f"/1.0/images/{image}")
        source = {"type": "image", "fingerprint": image}
        await self._client.run("POST", f"{path_of(name)}/rebuild", json={"source": source})

    async def renew(self, name: str, spec: MachineSpec) -> None:
        """Write all that a stopped machine is from `spec`, as if new: nothing of a restored config stays.

        Incus chooses a uid map, one that no machine has, when `security.idmap.isolated` changes: so it is turned off
        and on. The marks come with the second writing: who dies between the two begins again.
        """
        present = await self._client.get(path_of(name))
        config = {**words.outlives_a_restore(present["config"]), **words.config_of(spec)}
        wanted: dict[str, Any] = {
            "architecture": present["architecture"],
            "ephemeral": False,
            "profiles": [],
            "devices": words.devices_of(spec, self._pool),
        }
        marks = {words.mark_key(mark) for mark in spec.marks}
        shared = {key: value for key, value in config.items() if key not in marks}
        await self._client.run(
            "PUT", path_of(name), json={**wanted, "config": {**shared, "security.idmap.isolated": "false"}}
        )
        chosen = (await self._client.get(path_of(name)))["config"]
        maps = {key: value for key, value in chosen.items() if key.startswith("volatile.")}
        await self._client.run("PUT", path_of(name), json={**wanted, "config": {**config, **maps}})

    async def _at_work(self, name: str) -> bool:
        operations: dict[str, list[dict[str, Any]]] = await self._client.get("/1.0/operations", recursion="1")
        return any(
            name in subjects(operation) and operation["status_code"] < SUCCESS
            for group in operations.values()
            for operation in group
        )
