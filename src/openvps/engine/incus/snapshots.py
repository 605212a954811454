"""Snapshots on Incus: what a restore brings back besides the disk, and how none of it stays.

A restored snapshot puts back the instance's whole config. With it come a uid map that the snapshot's record was given
when it was taken, which may be another machine's by now, and the note that the machine ran, by which Incus starts it
at the host's next boot. `renew` writes both anew, before anything starts.
"""

import contextlib
from typing import Any

from openvps.engine.incus import config as words
from openvps.engine.incus.client import SUCCESS, Client
from openvps.engine.incus.instances import path_of, subjects
from openvps.engine.protocol import Busy, DiskSnapshot, EngineError, ImageOfDisk, MachineSpec, Missing

OF_SNAPSHOT = "openvps.snapshot"  # on an image: of which it was made
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

    async def publish(self, name: str, snapshot: str) -> ImageOfDisk:
        """Make an image of a snapshot, known by the snapshot's name; there already is success. Raises Missing."""
        if (made := await self._published(snapshot)) is not None:
            return made
        if snapshot not in self._publishing:
            wanted = {
                "source": {"type": "snapshot", "name": f"{name}/{snapshot}"},
                "compression_algorithm": "none",  # it is streamed into a store that finds what it has already
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

    async def unpublish(self, snapshot: str) -> None:
        """Forget the image of a snapshot; absent already is success. One begun by who died is found as well."""
        for image in await self._client.get("/1.0/images", recursion="1"):
            if image["properties"].get(OF_SNAPSHOT) == snapshot:
                with contextlib.suppress(Missing):
                    await self._client.run("DELETE", f"/1.0/images/{image['fingerprint']}")

    async def _published(self, snapshot: str) -> ImageOfDisk | None:
        try:
            target = (await self._client.get(f"/1.0/images/aliases/{snapshot}"))["target"]
            return ImageOfDisk(target, (await self._client.get(f"/1.0/images/{target}"))["size"])
        except Missing:
            return None

    async def rebuild(self, name: str, image: str) -> None:
        """Give the stopped machine, which has no snapshots, a fresh disk of this image. Raises Missing."""
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
