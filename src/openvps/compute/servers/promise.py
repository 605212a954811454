"""What a server is promised while it is resized: more at once, and what it had before should it fail.

The cell's room holds the larger of both sizes while it is under way: what grows is taken when it is asked for, what
shrinks is given back when it is done. What the server had is kept with the action, and put back should it fail. It is
charged at the new rate once it is done: nobody pays for what didn't come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openvps.actions import queries as actions
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.servers import queries
from openvps.core.db import Connection, Record
from openvps.core.money import first_hours
from openvps.ledger import queries as ledger
from openvps.ledger import rates

RESIZE = "server.resize"
KEPT = ("plan_id", "vcpus", "memory_mib", "storage_gb", "price_monthly_micro")


@dataclass(frozen=True)
class Promise:
    """What a server was promised before, and what of the account's credit was held for it."""

    plan_id: int
    vcpus: int
    memory_mib: int
    storage_gb: int
    price_monthly_micro: int
    held_micro: int | None = None  # None: by a version that didn't keep it

    @property
    def size(self) -> Size:
        """What of it is taken of the cell's room."""
        return Size(self.vcpus, self.memory_mib, self.storage_gb)


async def kept(conn: Connection, row: Record) -> dict[str, int]:
    """Return what an action keeps of what it changes."""
    return {name: getattr(row, name) for name in KEPT} | {"held_micro": await ledger.held(conn, _held(row.id))}


async def settle(conn: Connection, server_id: int, running: Sequence[Record]) -> None:
    """Give back the room that a resize, done or cancelled, has made free: once, also by two who saw it running.

    The caller has locked the server's row, and ends the action next.
    """
    if not any(one.kind == RESIZE for one in running):
        return
    unfinished = {one.id for one in await actions.unfinished(conn, server_id)}
    for one in running:
        if one.kind == RESIZE and one.id in unfinished:
            row = await queries.size(conn, server_id)
            old, new = Promise(**one.before), Size(row.vcpus, row.memory_mib, row.storage_gb)
            await locations.give_back(conn, row.cell_id, old.size.beyond(new))


async def charge(conn: Connection, server_id: int, at: datetime) -> None:
    """Charge a resize that is done, from the server's next hour on; `at`: told by the lock that charges need."""
    row = await queries.size(conn, server_id)
    rate = rates.Rate(row.price_monthly_micro, await queries.bandwidth_gb(conn, server_id))
    await rates.change(conn, server_id, rate, at)


async def put_back(conn: Connection, server_id: int, running: Sequence[Record], hold_hours: int) -> None:
    """Promise again what was promised before a resize that failed; the caller has locked what the account runs up."""
    for one in running:
        if one.kind == RESIZE:
            row = await queries.size(conn, server_id)
            old, new = Promise(**one.before), Size(row.vcpus, row.memory_mib, row.storage_gb)
            await locations.give_back(conn, row.cell_id, new.beyond(old.size))
            await queries.promise(conn, server_id, {name: one.before[name] for name in KEPT})
            await _hold_again(conn, server_id, row, old, hold_hours)


async def _hold_again(conn: Connection, server_id: int, row: Record, old: Promise, hold_hours: int) -> None:
    """Hold what was held before, less what has been charged meanwhile."""
    reference = _held(server_id)
    held = first_hours(old.price_monthly_micro, hold_hours) if old.held_micro is None else old.held_micro
    charged = first_hours(row.price_monthly_micro, hold_hours) - await ledger.held(conn, reference)
    if held > charged:
        await ledger.hold(conn, account_id=row.account_id, amount_micro=held - charged, reference=reference)
    else:
        await ledger.release(conn, reference)


def _held(server_id: int) -> str:
    return f"server:{server_id}"
