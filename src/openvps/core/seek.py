"""Long lists in a chosen order: `?ordering=name`, and a `cursor` in `next` and `previous` instead of counting rows.

A cursor holds where a page ended, so that the next begins right there, however deep it is and whatever was made or
deleted since. `page` stands beside it in these addresses, for who reads it; without a cursor `page` counts, as ever.
Within equal values of an order the ids decide: no row is left out or shown twice.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    bindparam,
    func,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from openvps.core.db import Record
from openvps.core.errors import InvalidFields, NotFound
from openvps.core.paging import Listing, Page, address, page

Rows = Select[*tuple[Any, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """What a list is ordered by: a column beside the id (None: the id alone), and its type for a cursor."""

    column: ColumnElement[Any] | None = None
    read: Callable[[str], Any] = str


@dataclass(frozen=True)
class Form:
    """The form of a statement that cuts a part out, without its values: who keeps statements keeps them by it."""

    ordering: str
    started: bool
    backwards: bool

    @property
    def falling(self) -> bool:
        """Whether the rows are to come from the greatest on."""
        return self.ordering.startswith("-") != self.backwards


@dataclass(frozen=True)
class Seek:
    """Which part of a list is asked for, in which order; `start` (value and id) is where a cursor begins."""

    page: Page
    ordering: str
    start: tuple[Any, int] | None = None
    backwards: bool = False

    @property
    def form(self) -> Form:
        """What the statement depends on."""
        return Form(self.ordering, self.start is not None, self.backwards)

    def values(self) -> dict[str, Any]:
        """Return the statement's parameters."""
        size = {"seek_size": self.page.size + 1}  # the one more says whether there is a next page
        if self.start is None:
            return size | {"seek_offset": self.page.offset}
        return size | {"seek_value": self.start[0], "seek_id": self.start[1]}


def seek(orders: Mapping[str, Order], default: str) -> Callable[..., Awaitable[Seek]]:
    """Return the dependency that reads `ordering`, `cursor`, `page` and `page_size` of a list with these orders."""
    known = [sign + name for name in orders for sign in ("", "-")]
    shown = {"type": "string", "enum": known, "default": default}

    async def read(
        at: Annotated[Page, Depends(page)],
        ordering: Annotated[
            str,
            Query(
                default_factory=lambda: default,
                description="What the list is ordered by; with `-`, falling.",
                json_schema_extra=shown,
            ),
        ],
        cursor: Annotated[
            str | None, Query(description="Where a page begins: part of `next` and `previous`, made by us.")
        ] = None,
    ) -> Seek:
        if ordering not in known:
            raise InvalidFields({"ordering": [f"One of {', '.join(known)}."]})
        if not cursor:  # an empty one begins where the list does
            return Seek(at, ordering)
        return _begun(at, ordering, cursor, orders)

    return read


def _begun(at: Page, ordering: str, cursor: str, orders: Mapping[str, Order]) -> Seek:
    try:
        made_for, backwards, value, number = json.loads(base64.urlsafe_b64decode(cursor + "=="))
        start = (orders[ordering.removeprefix("-")].read(value), int(number))
        good = made_for == ordering and 0 <= start[1] < 1 << 63
    except (ValueError, TypeError, KeyError):  # nothing that we wrote
        good, start, backwards = False, None, False
    if not good:
        raise InvalidFields({"cursor": ["Take it from `next` or `previous`, and keep its ordering."]})
    return Seek(at, ordering, start, bool(backwards))


def part(query: Rows, number: ColumnElement[int], orders: Mapping[str, Order], by: Form) -> Rows:
    """Cut the asked part out of a query of ids, and one row more; its columns are `id` and `sort_key`."""
    column = orders[by.ordering.removeprefix("-")].column
    keys = [number] if column is None else [column, number]
    cut: Rows = query.with_only_columns(number.label("id"), keys[0].label("sort_key"))
    cut = cut.order_by(*(key.desc() if by.falling else key.asc() for key in keys)).limit(bindparam("seek_size"))
    if not by.started:
        return cut.offset(bindparam("seek_offset"))
    names = ["seek_id"] if column is None else ["seek_value", "seek_id"]
    here = tuple_(*keys)
    start = tuple_(*(bindparam(name, type_=key.type) for name, key in zip(names, keys, strict=True)))
    return cut.where(here < start if by.falling else here > start)


def by_number(orders: Mapping[str, Order], by: Form) -> bool:
    """Whether the ids alone make the order, so that `part_of_all` may cut."""
    return orders[by.ordering.removeprefix("-")].column is None


def part_of_all(query: Rows, number: ColumnElement[int], by: Form) -> tuple[Subquery, Subquery]:
    """Count the rows of a query and cut the asked part out, looking at each row once; for lists by their ids.

    Returns the count as `total`, and the part as `part` does. For a query whose rows have to be looked at anyway,
    since no counter knows how many match.
    """
    before = number < bindparam("seek_id") if by.falling else number > bindparam("seek_id")
    ids = func.array_agg(aggregate_order_by(number, number.desc() if by.falling else number.asc()))
    columns = (func.count().label("total"), (ids.filter(before) if by.started else ids).label("ids"))
    all_of_it = query.with_only_columns(*columns).cte("all_of_it")
    first: Any = 1 if by.started else bindparam("seek_offset", type_=Integer) + 1
    last = first + bindparam("seek_size", type_=Integer) - 1
    cut = func.unnest(type_coerce(all_of_it.c.ids, ARRAY(BigInteger))[first:last])
    part_ids = select(cut.label("id")).subquery()
    return select(all_of_it.c.total).subquery(), select(part_ids.c.id, part_ids.c.id.label("sort_key")).subquery()


def in_order(query: Rows, part_of: Any, by: Form) -> Rows:
    """Order a query that joins a part, as the part was cut."""
    keys = (part_of.c.sort_key, part_of.c.id)
    return query.order_by(*(key.desc() if by.falling else key.asc() for key in keys))


def listed(
    request: Request, at: Seek, count: int, rows: Sequence[Record], shown: Callable[[Record], T]
) -> Listing[T]:
    """Return the list's body, of rows as `part` cut them. Raises NotFound past its end."""
    number, size = at.page.number, at.page.size
    if at.start is None and number > 1 and not rows:
        raise NotFound("Invalid page.")
    more, rows = len(rows) > size, rows[:size]
    if at.backwards:
        rows = rows[::-1]
    before, after = (more, True) if at.backwards else (at.start is not None or number > 1, more)

    def url(row: Record, page_number: int, *, backwards: bool) -> str:
        value = row.sort_key.isoformat() if isinstance(row.sort_key, datetime) else str(row.sort_key)
        text = json.dumps([at.ordering, int(backwards), value, row.id], separators=(",", ":"))
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return address(request, page=page_number, cursor=cursor)

    return {
        "count": count,
        "next": url(rows[-1], number + 1, backwards=False) if rows and after else None,
        "previous": url(rows[0], max(1, number - 1), backwards=True) if rows and before else None,
        "results": [shown(row) for row in rows],
    }
