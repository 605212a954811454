"""Asking for a fresh system: what is checked and written before converge makes it true."""

from uuid import UUID

from openvps.accounts.auth import Caller
from openvps.compute.servers import power, queries
from openvps.compute.servers.fields import Rebuild
from openvps.compute.servers.order import named_system, said
from openvps.compute.systems import queries as systems
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, NotFound
from openvps.core.requests import Body


async def rebuild(conn: Connection, caller: Caller, reference: int | UUID, body: Body[Rebuild]) -> tuple[Record, int]:
    """Want a server's disk made anew from the newest image of a system; returns the server and the action's id.

    Raises NotFound, InvalidFields, BadRequest (status, snapshots).
    """
    server = await queries.promised(conn, caller.account_id, reference)
    if server is None:
        raise NotFound
    system_id = await named_system(conn, body)
    image = await systems.newest_image(conn, server.cell_id, system_id) if system_id else None
    if system_id and image is None:
        body.wrong(said(body, "os_id", "os_version"), "This operating system has no image on the server's host yet.")
    body.check()
    if system_id is None or image is None:
        raise LookupError("a system without a finding passed the check")
    if await queries.has_snapshots(conn, server.id):
        raise BadRequest("The server has snapshots of the disk that a rebuild replaces. Delete them first.")
    row, action_id = await power.begin(conn, caller, server.id, "rebuild")
    await queries.want_rebuild(conn, server.id, system_id=system_id, image_id=image.id)
    return row, action_id
