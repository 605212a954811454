"""The engine on Incus: the only room that speaks to it."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from openvps.engine.incus.cell import IncusCell
from openvps.engine.incus.client import Client
from openvps.engine.incus.instances import IncusMachines
from openvps.engine.incus.inventory import IncusInventory
from openvps.engine.incus.snapshots import IncusSnapshots
from openvps.engine.protocol import Engine, EngineError, Missing

MADE = "user.openvps"  # on what we made ourselves, and so may remove
PROJECT = {
    "features.images": "true",
    "features.profiles": "true",
    "features.storage.volumes": "true",
    "features.networks": "false",
    MADE: "made",
}


class Incus(IncusMachines, IncusSnapshots, IncusInventory, IncusCell):
    """Machines, snapshots and cell of one Incus project, over one pool of connections."""

    def __init__(self, client: Client, project: str, pool: str) -> None:
        IncusMachines.__init__(self, client, pool)
        IncusSnapshots.__init__(self, client, pool)
        IncusInventory.__init__(self, client, pool)
        IncusCell.__init__(self, client, project, pool)

    async def close(self) -> None:
        """Return the connections."""
        await self._client.close()


def open_engine(socket: Path, project: str, pool: str) -> Engine:
    """Return the engine behind an Incus daemon's socket on this machine; nothing is asked of it yet."""
    return Incus(Client(project, socket=socket), project, pool)


def open_remote(members: Sequence[str], tls: ssl.SSLContext, project: str, pool: str) -> Engine:
    """Return the engine behind the HTTPS addresses of a cell's members; nothing is asked of it yet."""
    return Incus(Client(project, members=members, tls=tls), project, pool)


async def project_and_pool(members: Sequence[str], tls: ssl.SSLContext, project: str, pool: str) -> None:
    """Make the project where it is missing. Raises EngineError where the pool is: its disks are its operator's."""
    client = Client(project, members=members, tls=tls)
    try:
        pools: list[str] = [url.rpartition("/")[2] for url in await client.get("/1.0/storage-pools")]
        if pool not in pools:
            raise EngineError(f"the cell has no storage pool {pool}; name one of: {', '.join(pools) or 'none'}")
        try:
            await client.get(f"/1.0/projects/{project}")
        except Missing:
            await client.run("POST", "/1.0/projects", json={"name": project, "config": PROJECT})
    finally:
        await client.close()
