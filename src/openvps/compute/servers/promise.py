"""What a server is promised while it is resized: more at once, and what it had before should it fail.

The cell's room holds the larger of both sizes while it is under way: what grows is taken when it is asked for, what
shrinks is given back when it is done. What the server had is kept with the action, and put back should it fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
    """What a server was promised before."""

    plan_id: int
    vcpus: int
    memory_mib: int
    storage_gb: int
    price_monthly_micro: int

    @property
    def size(self) -> Size:
        """What of it is taken of the cell's room."""
        return Size(self.vcpus, self.memory_mib, self.storage_gb)


def kept(row: Record) -> dict[str, int]:
    """Return what an action keeps of the row that it changes."""
    return {name: getattr(row, name) for name in KEPT}


async def settle(conn: Connection, server_id: int, running: Sequence[Record]) -> None:
    """Give back the room that a resize, done or cancelled, has made free."""
    for one in running:
        if one.kind == RESIZE:
            row = await queries.size(conn, server_id)
            old, new = Promise(**one.before), Size(row.vcpus, row.memory_mib, row.storage_gb)
            await locations.give_back(conn, row.cell_id, old.size.beyond(new))


async def put_back(
    conn: Connection, server_id: int, running: Sequence[Record], hold_hours: int, at: datetime
) -> None:
    """Promise again what was promised before a resize that failed; `at`: told by the lock that charges need."""
    for one in running:
        if one.kind == RESIZE:
            row = await queries.size(conn, server_id)
            old, new = Promise(**one.before), Size(row.vcpus, row.memory_mib, row.storage_gb)
            await locations.give_back(conn, row.cell_id, new.beyond(old.size))
            await queries.promise(conn, server_id, one.before)
            rate = rates.Rate(old.price_monthly_micro, await queries.bandwidth_gb(conn, server_id))
            await rates.change(conn, server_id, rate, at)
            await ledger.hold_at_most(conn, f"server:{server_id}", first_hours(old.price_monthly_micro, hold_hours))
