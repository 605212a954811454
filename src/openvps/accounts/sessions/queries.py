"""The SQL of sessions; that of checking one is in `accounts/queries.py`."""

from datetime import datetime

from sqlalchemy import delete, insert

from openvps.core.db import Connection, Record
from openvps.schema import session


async def add(conn: Connection, *, token_id: int, digest: bytes, own_token: bool, expires_at: datetime) -> None:
    """Keep a session."""
    await conn.execute(
        insert(session).values(token_id=token_id, digest=digest, own_token=own_token, expires_at=expires_at)
    )


async def remove(conn: Connection, digest: bytes) -> Record | None:
    """End a session; returns its token and whether that was made for it, None if there is no such session."""
    return (
        await conn.execute(
            delete(session).where(session.c.digest == digest).returning(session.c.token_id, session.c.own_token)
        )
    ).one_or_none()


async def forget(conn: Connection, ended_before: datetime) -> None:
    """Remove the sessions that are over."""
    await conn.execute(delete(session).where(session.c.expires_at < ended_before))
