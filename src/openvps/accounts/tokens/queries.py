"""The SQL of an account's tokens; that of checking one is in `accounts/queries.py`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update

from openvps.core.db import Connection, Record
from openvps.schema import token

_SHOWN = (
    token.c.id,
    token.c.uuid,
    token.c.name,
    token.c.permissions,
    token.c.created_at,
    token.c.expires_at,
    token.c.last_used_at,
    token.c.revoked_at,
)


def _named(account_id: int, reference: int | UUID) -> tuple[Any, ...]:
    key = token.c.uuid if isinstance(reference, UUID) else token.c.id
    return token.c.account_id == account_id, key == reference


async def tokens(conn: Connection, account_id: int, *, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many tokens the account has, revoked ones included, and some of them, newest first."""
    mine = token.c.account_id == account_id
    count = (await conn.execute(select(func.count()).select_from(token).where(mine))).scalar_one()
    rows = await conn.execute(select(*_SHOWN).where(mine).order_by(token.c.id.desc()).offset(offset).limit(limit))
    return count, list(rows)


async def one(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's tokens."""
    return (await conn.execute(select(*_SHOWN).where(*_named(account_id, reference)))).one_or_none()


async def revoke(conn: Connection, account_id: int, reference: int | UUID) -> int | None:
    """End a token, now; returns its id, or None if there is none. Ending one twice is as good as once."""
    return (
        await conn.execute(
            update(token)
            .where(*_named(account_id, reference))
            .values(revoked_at=func.coalesce(token.c.revoked_at, func.now()))
            .returning(token.c.id)
        )
    ).scalar_one_or_none()


async def revoke_named(conn: Connection, account_id: int, name: str) -> None:
    """End every token of the account with this name."""
    await conn.execute(
        update(token)
        .where(token.c.account_id == account_id, token.c.name == name, token.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


async def forget(conn: Connection, account_id: int, name: str, ended_before: datetime) -> None:
    """Remove the account's tokens with this name that ended long ago."""
    await conn.execute(
        delete(token).where(token.c.account_id == account_id, token.c.name == name, token.c.expires_at < ended_before)
    )


async def owner(conn: Connection, reference: int | UUID) -> int | None:
    """Return whose token it is."""
    key = token.c.uuid if isinstance(reference, UUID) else token.c.id
    return (await conn.execute(select(token.c.account_id).where(key == reference))).scalar_one_or_none()
