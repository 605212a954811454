"""What a cell keeps, all of it: one list of each kind, whatever is in them. For who looks for what nobody wants."""

import asyncio
from typing import Any

import httpx2

from openvps.engine.incus.client import CONNECT_S, Client
from openvps.engine.incus.snapshots import OF_SNAPSHOT
from openvps.engine.protocol import Away, EngineError, Inventory, Missing, StoredImage

BULK = httpx2.Timeout(60, connect=CONNECT_S)
ALWAYS_THERE = "default"  # every project has this profile; our machines have none
SHARED = "image"  # volumes of this kind are the engine's own, of all projects
CUSTOM = "custom"  # those of no machine
SEARCH = "/internal/recover/validate"
SEARCH_AGAIN_S = (1.0, 2.0)


class IncusInventory:
    """The inventory of one Incus project, and the removal of what only it shows."""

    def __init__(self, client: Client, pool: str) -> None:
        self._client = client
        self._pool = pool

    async def inventory(self) -> Inventory:
        """Return all that is kept in the cell, one call for each kind of thing."""
        instances = await self._list("/1.0/instances")
        volumes = [
            (one["type"], one["name"])
            for one in await self._list(f"/1.0/storage-pools/{self._pool}/volumes")
            if one["type"] != SHARED
        ]
        unrecorded, unsearched = await self._search()
        return Inventory(
            addresses={one["name"]: _addresses(one) for one in instances},
            snapshots=frozenset(
                (name.partition("/")[0], name.partition("/")[2])
                for kind, name in volumes
                if kind != CUSTOM and "/" in name
            ),
            images=[
                StoredImage(one["fingerprint"], one["properties"].get(OF_SNAPSHOT))
                for one in await self._list("/1.0/images")
            ],
            volumes=frozenset((kind, name) for kind, name in volumes if "/" not in name),
            profiles=frozenset(one["name"] for one in await self._list("/1.0/profiles")) - {ALWAYS_THERE},
            unrecorded=unrecorded,
            unsearched=unsearched,
        )

    async def _search(self) -> tuple[frozenset[tuple[str, str]], str | None]:
        """Return the disks in the pool that the engine has no record of, and why it couldn't search for them.

        By what `incus admin recover` searches with, which is for who speaks to the daemon on its own machine: over
        HTTPS the engine refuses it. It ends at the first disk that it can't read; one that is just being given
        another content is read a moment later.
        """
        reason: str | None = None
        for pause_s in (*SEARCH_AGAIN_S, None) if self._client.local else ():
            try:
                body, _ = await self._client.answer(
                    "POST", SEARCH, json={"pools": [{"name": self._pool}]}, timeout=BULK
                )
            except Away:
                raise
            except EngineError as error:
                reason = str(error)
            else:
                found: list[dict[str, Any]] = body["metadata"]["UnknownVolumes"] or []
                return frozenset(
                    (CUSTOM if one["type"] == "volume" else one["type"], one["name"])
                    for one in found
                    if one["project"] == self._client.project
                ), None
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        return frozenset(), reason

    async def delete_volume(self, name: str) -> None:
        """Remove a volume that is no machine's, with its snapshots; absent already is success."""
        await self._gone(f"/1.0/storage-pools/{self._pool}/volumes/custom/{name}")

    async def delete_profile(self, name: str) -> None:
        """Remove a profile; absent already is success."""
        await self._gone(f"/1.0/profiles/{name}")

    async def _gone(self, path: str) -> None:
        try:
            await self._client.run("DELETE", path)
        except Missing:
            return

    async def _list(self, path: str) -> list[dict[str, Any]]:
        body, _ = await self._client.answer("GET", path, query={"recursion": "1"}, timeout=BULK)
        return body["metadata"]


def _addresses(instance: dict[str, Any]) -> frozenset[str]:
    """Return the addresses that the instance's interfaces are given."""
    devices: dict[str, dict[str, str]] = instance["devices"] or {}
    return frozenset(
        address
        for device in devices.values()
        if device["type"] == "nic"
        for family in ("ipv4.address", "ipv6.address")
        for address in filter(None, device.get(family, "").split(","))
    )
