"""Finding servers: the account's list, filtered, ordered, and as fast with 100,000 as with 100.

How many there are comes from `server_count`, whose rows triggers write with each change and `add_up` folds: summing
some rows, not counting all. It is exact: a row of it is seen from the same commit on as the change it counts. Which
servers are on the page is looked for in an index that has all that is needed in it, and only they are then joined
with what is shown of them. Names and tags are looked for in every entry of that index, which has the account's
servers and nothing else: some ms for 100,000, whatever is looked for; the embedded PostgreSQL brings no pg_trgm, and
an index of all accounts' tags would have a popular one's entries read by everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, true

from openvps.compute.servers.queries import SHOWN, of_account
from openvps.core.db import Connection, Record
from openvps.core.seek import Order, Rows, Seek, in_order, part
from openvps.schema import location, server, server_count

ORDERS = {
    "created_at": Order(),  # ids are given in this order
    "name": Order(func.lower(server.c.name)),
    "status": Order(server.c.status),
    "updated_at": Order(server.c.updated_at, datetime.fromisoformat),
}
NEWEST_FIRST = "-created_at"


@dataclass(frozen=True)
class Filters:
    """What servers are looked for: all that is given must match."""

    status: str | None = None
    location: str | None = None  # its code
    name: str | None = None  # a part of it, in any case
    tags: tuple[str, ...] = ()


async def page(conn: Connection, account_id: int, by: Filters, at: Seek) -> tuple[int, Sequence[Record]]:
    """Return how many servers match, and those of the asked part and one more."""
    counted = _counted(account_id, by).subquery()
    found = part(_found(account_id, by), server.c.id, ORDERS, at).subquery()
    shown = SHOWN.add_columns(found.c.sort_key).join(found, found.c.id == server.c.id).subquery()
    # One statement and one moment for both; the count is there also where no server is.
    query = select(counted.c.total, shown).select_from(counted.outerjoin(shown, true()))
    rows = (await conn.execute(in_order(query, shown, at))).all()
    return rows[0].total, [row for row in rows if row.id is not None]


async def add_up(conn: Connection) -> None:
    """Fold the rows that triggers wrote, to one a kind. Two at once do no harm: a row is folded by who deletes it."""
    await conn.execute(_ADD_UP)


def _found(account_id: int, by: Filters) -> Rows:
    query = select(server.c.id).where(of_account(account_id))
    if by.status is not None:
        query = query.where(server.c.status == by.status)
    if by.location is not None:
        query = query.where(server.c.location_id == _location(by.location))
    if by.name is not None:
        query = query.where(func.strpos(func.lower(server.c.name), by.name.lower()) > 0)
    if by.tags:
        query = query.where(server.c.tags.op("@>", is_comparison=True)(list(by.tags)))
    return query


def _counted(account_id: int, by: Filters) -> Rows:
    if by.name is not None or by.tags:
        return _found(account_id, by).with_only_columns(func.count().label("total"))
    total = func.coalesce(func.sum(server_count.c.n), 0).label("total")
    query = select(total).where(server_count.c.account_id == account_id)
    if by.status is not None:
        query = query.where(server_count.c.status == by.status)
    if by.location is not None:
        query = query.where(server_count.c.location_id == _location(by.location))
    return query


def _location(code: str) -> Any:
    return select(location.c.id).where(location.c.code == code).scalar_subquery()


_ADD_UP = text(
    "WITH moved AS (SELECT account_id, location_id, status FROM server_count GROUP BY 1, 2, 3"
    " HAVING count(*) > 1 OR sum(n) = 0),"
    " gone AS (DELETE FROM server_count AS c USING moved WHERE c.account_id = moved.account_id"
    " AND c.location_id = moved.location_id AND c.status = moved.status RETURNING c.*)"
    " INSERT INTO server_count (account_id, location_id, status, n)"
    " SELECT account_id, location_id, status, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0"
)
