"""The engine on Incus: the only room that speaks to it."""

from pathlib import Path

from openvps.engine.incus.cell import IncusCell
from openvps.engine.incus.client import Client
from openvps.engine.incus.instances import IncusMachines
from openvps.engine.protocol import Engine


class Incus(IncusMachines, IncusCell):
    """Machines and cell of one Incus project, over one pool of connections."""

    def __init__(self, client: Client, project: str, pool: str) -> None:
        IncusMachines.__init__(self, client, pool)
        IncusCell.__init__(self, client, project, pool)

    async def close(self) -> None:
        """Return the connections."""
        await self._client.close()


def open_engine(socket: Path, project: str, pool: str) -> Engine:
    """Return the engine behind an Incus daemon's socket on this machine; nothing is asked of it yet."""
    return Incus(Client(socket, project), project, pool)
