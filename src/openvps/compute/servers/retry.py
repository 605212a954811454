"""Trying a create again that has failed: what it was promised is still kept for it, but for the credit."""

from uuid import UUID

from openvps.accounts import queries as accounts
from openvps.accounts import standing
from openvps.accounts.auth import Caller
from openvps.compute.servers import power, queries, queue
from openvps.compute.servers.create import PAUSED
from openvps.compute.servers.states import TRANSITIONS
from openvps.compute.systems import queries as systems
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InsufficientCredit, NotFound, Unavailable
from openvps.core.money import first_hours, major, missing
from openvps.core.settings import Settings
from openvps.ledger import queries as ledger
from openvps.ledger import rates


async def retry(conn: Connection, caller: Caller, reference: int | UUID, settings: Settings) -> tuple[Record, int]:
    """Have a server made anew, at its addresses and in the room it has kept; returns it and the action's id.

    Raises NotFound, BadRequest, InsufficientCredit, Unavailable.
    """
    await accounts.lock_account(conn, caller.account_id)
    await standing.check(conn, caller.account_id)
    server = await queries.failed_create(conn, caller.account_id, reference)
    if server is None:
        raise NotFound
    if server.status != "error":
        raise BadRequest(TRANSITIONS["retry"].refused.format(status=server.status))
    if server.ready_at is not None:
        raise BadRequest("It was in use, and its disk is gone. Restore a backup, or delete it.")
    if server.restores:
        raise BadRequest("It was to be made of a backup. Delete it, and make a new server of the backup.")
    if server.look_at is not None:
        raise BadRequest("What is left of it is still being turned off. Try again in a moment.")
    if server.paused:
        raise Unavailable(PAUSED, retry_after_s=600)
    await _hold(conn, caller, server, settings)
    row, action_id = await power.begin(conn, caller, server.id, "retry")
    image = await systems.newest_image(conn, server.cell_id, server.system_id)
    at = now()
    await queries.try_again(conn, server.id, image_id=image.id if image else None, until=at + queue.PATIENCE)
    await queue.admit(conn, server.cell_id, settings.creates_at_once, at)
    return row, action_id


async def _hold(conn: Connection, caller: Caller, server: Record, settings: Settings) -> None:
    """Hold the first hours' credit again, and have the hours charged from now on."""
    wanted = first_hours(server.price_monthly_micro, settings.hold_hours)
    free = (await ledger.balance(conn, caller.account_id)).free_micro
    if free < wanted:
        raise InsufficientCredit(
            f"Not enough credit: the first {settings.hold_hours} hours need {major(wanted)} {settings.currency}, and "
            f"{major(free)} is free: {missing(wanted, free)} is missing. Add credit and try again."
        )
    await ledger.hold(conn, account_id=caller.account_id, amount_micro=wanted, reference=f"server:{server.id}")
    rate = rates.Rate(server.price_monthly_micro, server.bandwidth_gb)
    await rates.resume(conn, server.id, rate, await rates.lock(conn, caller.account_id))
