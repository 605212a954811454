"""The SQL of passwords and invites."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, update

from openvps.core.db import Connection, Record
from openvps.schema import account


async def by_email(conn: Connection, email: str) -> Record | None:
    """Return the account with this e-mail."""
    return (
        await conn.execute(
            select(
                account.c.id, account.c.email, account.c.password_hash, account.c.is_operator, account.c.disabled_at
            ).where(account.c.email == email)
        )
    ).one_or_none()


def _invited(digest: bytes, at: datetime) -> ColumnElement[bool]:
    return and_(account.c.invite_digest == digest, account.c.invite_expires_at > at, account.c.disabled_at.is_(None))


async def is_invited(conn: Connection, digest: bytes, at: datetime) -> bool:
    """Whether an invite is good at `at`."""
    return (await conn.execute(select(account.c.id).where(_invited(digest, at)))).first() is not None


async def use_invite(conn: Connection, digest: bytes, at: datetime, password_hash: str) -> Record | None:
    """Set the password and end the invite; returns the account, or None if the invite is not good (any more)."""
    return (
        await conn.execute(
            update(account)
            .where(_invited(digest, at))
            .values(password_hash=password_hash, invite_expires_at=None)
            .returning(account.c.id, account.c.email)
        )
    ).one_or_none()


async def used_invite(conn: Connection, digest: bytes) -> int | None:
    """Return the account whose last invite this was, and is used."""
    used = select(account.c.id).where(account.c.invite_digest == digest, account.c.invite_expires_at.is_(None))
    return (await conn.execute(used)).scalar_one_or_none()


async def set_invite(conn: Connection, account_id: int, digest: bytes, expires_at: datetime) -> None:
    """Keep an invite's digest; an older invite of the account ends with it."""
    await conn.execute(
        update(account).where(account.c.id == account_id).values(invite_digest=digest, invite_expires_at=expires_at)
    )


async def by_id(conn: Connection, account_id: int) -> Record:
    """Return an account's e-mail and password hash."""
    return (
        await conn.execute(select(account.c.email, account.c.password_hash).where(account.c.id == account_id))
    ).one()
