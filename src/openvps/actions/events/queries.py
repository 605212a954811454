"""The SQL of events. They are added by triggers; see migration 0013."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select, true, tuple_

from openvps.core.db import Connection, Record
from openvps.schema import account, event, event_head, token

_SHOWN = (event.c.number, event.c.kind, event.c.server_id, event.c.data, event.c.created_at)


@dataclass(frozen=True)
class Wanted:
    """Which of an account's events are asked for; what is empty or None is everything."""

    kinds: frozenset[str] = frozenset()
    server_id: int | None = None

    def has(self, kind: str, server_id: int | None) -> bool:
        """Whether an event is among them."""
        return (not self.kinds or kind in self.kinds) and self.server_id in {None, server_id}

    def where(self) -> list[ColumnElement[bool]]:
        """Return the same as conditions."""
        kinds = event.c.kind.in_(sorted(self.kinds)) if self.kinds else true()
        return [kinds, true() if self.server_id is None else event.c.server_id == self.server_id]


async def head(conn: Connection, account_id: int) -> int:
    """Return the number of the account's newest event; 0 before the first."""
    row = await conn.execute(select(event_head.c.number).where(event_head.c.account_id == account_id))
    return row.scalar_one_or_none() or 0


async def heads(conn: Connection, account_ids: Sequence[int]) -> dict[int, int]:
    """Return the numbers of several accounts' newest events."""
    rows = await conn.execute(
        select(event_head.c.account_id, event_head.c.number).where(event_head.c.account_id.in_(account_ids))
    )
    return {row.account_id: row.number for row in rows}


async def after(conn: Connection, account_id: int, number: int, *, limit: int) -> Sequence[Record]:
    """Return an account's events after a number, oldest first."""
    return (
        await conn.execute(
            select(*_SHOWN)
            .where(event.c.account_id == account_id, event.c.number > number)
            .order_by(event.c.number)
            .limit(limit)
        )
    ).all()


async def page(
    conn: Connection, account_id: int, number: int, wanted: Wanted, *, offset: int, limit: int
) -> tuple[int, Sequence[Record]]:
    """Return how many wanted events an account has after a number, and some of them, oldest first."""
    where = (event.c.account_id == account_id, event.c.number > number, *wanted.where())
    count = (await conn.execute(select(func.count()).select_from(event).where(*where))).scalar_one()
    rows = await conn.execute(select(*_SHOWN).where(*where).order_by(event.c.number).offset(offset).limit(limit))
    return count, rows.all()


async def live(conn: Connection, token_ids: Sequence[int], at: datetime) -> dict[int, list[str]]:
    """Return those of the tokens that may still be used, with their permissions."""
    rows = await conn.execute(
        select(token.c.id, token.c.permissions)
        .join(account, account.c.id == token.c.account_id)
        .where(
            token.c.id.in_(token_ids),
            token.c.revoked_at.is_(None),
            or_(token.c.expires_at.is_(None), token.c.expires_at > at),
            account.c.disabled_at.is_(None),
        )
    )
    return {row.id: row.permissions for row in rows}


async def forget_old(conn: Connection, days: int, *, limit: int) -> int:
    """Remove events past their days, the oldest first; returns how many."""
    old = (
        select(event.c.account_id, event.c.number)
        .where(event.c.created_at < func.now() - timedelta(days=days))
        .order_by(event.c.created_at)
        .limit(limit)
    )
    return (await conn.execute(delete(event).where(tuple_(event.c.account_id, event.c.number).in_(old)))).rowcount
