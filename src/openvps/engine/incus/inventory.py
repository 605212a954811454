"""What a cell keeps, all of it: one list of each kind, whatever is in them. For who looks for what nobody wants."""

from typing import Any

import httpx2

from openvps.engine.incus.client import CONNECT_S, Client
from openvps.engine.incus.snapshots import OF_SNAPSHOT
from openvps.engine.protocol import Inventory, Missing, StoredImage

BULK = httpx2.Timeout(60, connect=CONNECT_S)
ALWAYS_THERE = "default"  # every project has this profile; our machines have none
SHARED = "image"  # volumes of this kind are the engine's own, of all projects


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
        return Inventory(
            addresses={one["name"]: _addresses(one) for one in instances},
            snapshots=frozenset(
                (name.partition("/")[0], name.partition("/")[2])
                for kind, name in volumes
                if kind != "custom" and "/" in name
            ),
            images=[
                StoredImage(one["fingerprint"], one["properties"].get(OF_SNAPSHOT))
                for one in await self._list("/1.0/images")
            ],
            volumes=frozenset((kind, name) for kind, name in volumes if "/" not in name),
            profiles=frozenset(one["name"] for one in await self._list("/1.0/profiles")) - {ALWAYS_THERE},
        )

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
