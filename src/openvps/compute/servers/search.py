"""Finding servers: the account's list, filtered, ordered, and as fast with 100,000 as with 100.

How many there are comes from `server_count`, whose rows triggers write with each change and `counts.add_up` folds:
summing some rows, not counting all. It is exact: a row of it is seen from the same commit on as the change it counts.
Which servers are on the page is looked for in an index that has all that is needed in it, and only they are then
joined with what is shown of them. Names and tags are looked for in every entry of that index, which has the account's
servers and nothing else: some ms for 100,000, whatever is looked for; the embedded PostgreSQL brings no pg_trgm, and
an index of all accounts' tags would have a popular one's entries read by everybody. Each entry is looked at once, for
the count and for the page.

A server's text in the list is JSON that PostgreSQL writes: rows of a hundred servers made into objects, and these
into text, were most of what the api process had to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, bindparam, cast, collate, func, select, true

from openvps.compute.servers.entry import entry
from openvps.compute.servers.queries import of_account
from openvps.core.db import Connection, Record
from openvps.core.seek import Form, Order, Rows, Seek, by_number, in_order, part, part_of_all
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
    tags: Sequence[str] = ()


async def page(conn: Connection, account_id: int, by: Filters, at: Seek) -> tuple[int, Sequence[Record]]:
    """Return how many servers match, and those of the asked part and one more: `shown` is a server's JSON."""
    given = {name: value for name, value in vars(by).items() if value}
    values = {"account": account_id, **given, **at.values()}
    rows = (await conn.execute(_statement(frozenset(given), at.form), values)).all()
    return rows[0].total, [row for row in rows if row.id is not None]


@cache  # to build a statement costs more than to run it
def _statement(filters: frozenset[str], form: Form) -> Rows:
    """Return one statement for both, and so one moment; the count is there also where no server is."""
    if filters - set(_COUNTED) and by_number(ORDERS, form):
        counted, found = part_of_all(_found(filters), server.c.id, form)
    else:
        counted = _counted(filters).subquery()
        found = part(_found(filters), server.c.id, ORDERS, form).subquery()
    one, text_of_one = entry(found.c.id)
    shown = select(*found.c, text_of_one.label("shown")).select_from(found.join(one, true())).subquery()
    query: Rows = select(counted.c.total, shown).select_from(counted.outerjoin(shown, true()))
    return in_order(query, shown, form)


_LOCATION = select(location.c.id).where(location.c.code == bindparam("location")).scalar_subquery()
_NAME = bindparam("name", type_=Text)
_MATCHES: dict[str, ColumnElement[bool]] = {
    "status": server.c.status == bindparam("status"),
    "location": server.c.location_id == _LOCATION,
    # Names are ASCII, see fields.py: to compare them as such takes a third off the search.
    "name": func.strpos(func.lower(collate(server.c.name, "C")), func.lower(collate(_NAME, "C"))) > 0,
    "tags": server.c.tags.op("@>", is_comparison=True)(bindparam("tags", type_=ARRAY(Text))),
}
_COUNTED = {
    "status": server_count.c.status == bindparam("status"),
    "location": server_count.c.location_id == _LOCATION,
}


def _found(filters: frozenset[str]) -> Rows:
    return select(server.c.id).where(of_account(bindparam("account")), *(_MATCHES[name] for name in sorted(filters)))


def _counted(filters: frozenset[str]) -> Rows:
    if filters - set(_COUNTED):
        return _found(filters).with_only_columns(func.count().label("total"))
    total = cast(func.coalesce(func.sum(server_count.c.n), 0), BigInteger).label("total")
    mine = server_count.c.account_id == bindparam("account")
    return select(total).where(mine, *(_COUNTED[name] for name in sorted(filters)))
