"""A customer's day on the nine endpoints of the published page, by the sync and by the async client.

It is run against OpenVPS and against a stub that answers as the page shows.
"""

from openvps.client import AsyncClient, Client
from openvps.client.models import CreatedServer, Server


def walk(client: Client, plan_id: int, os_id: int, location: str) -> tuple[CreatedServer, Server]:
    """Do everything once and wait for it; returns what create and the last look answered."""
    servers = client.servers
    made = servers.create(name="walk-sync", plan_id=plan_id, os_id=os_id, location=location, wait=True)
    assert [one.status for one in servers.list(status="active")]
    assert servers.stop(made.id, wait=True).message == "Server is stopping"
    assert servers.start(made.id, wait=True).status == "success"
    assert servers.reboot(made.id, wait=True).server.name
    assert servers.update(made.id, name="walked-sync").backups_enabled is not None
    seen = servers.get(made.id)
    servers.delete(made.id, wait=True)
    return made, seen


async def awalk(client: AsyncClient, plan_id: int, os_id: int, location: str) -> tuple[CreatedServer, Server]:
    """Do the same as `walk`."""
    servers = client.servers
    made = await servers.create(name="walk-async", plan_id=plan_id, os_id=os_id, location=location, wait=True)
    assert [one.status async for one in servers.list(status="active")]
    assert (await servers.stop(made.id, wait=True)).message == "Server is stopping"
    assert (await servers.start(made.id, wait=True)).status == "success"
    assert (await servers.reboot(made.id, wait=True)).server.name
    assert (await servers.update(made.id, name="walked-async")).backups_enabled is not None
    seen = await servers.get(made.id)
    await servers.delete(made.id, wait=True)
    return made, seen
