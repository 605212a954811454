"""The SQL of tickets, and of who may keep a terminal open."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, insert, or_, select

from openvps.accounts.standing import SUSPENDED
from openvps.core.db import Connection, Record
from openvps.schema import account, cell, console_ticket, server, session, token


@dataclass(frozen=True)
class Taken:
    """What a ticket was for, and whose it was: a token's, perhaps by a session of the browser console."""

    server_id: int
    token_id: int
    session_digest: bytes | None


async def add(conn: Connection, **values: Any) -> None:
    """Keep a ticket."""
    await conn.execute(insert(console_ticket).values(**values))


async def forget(conn: Connection, at: datetime) -> None:
    """Remove the tickets that nobody took."""
    await conn.execute(delete(console_ticket).where(console_ticket.c.expires_at <= at))


async def take(conn: Connection, digest: bytes, at: datetime) -> Taken | None:
    """Take a ticket, which is gone then; None if there is none that is good."""
    good = (console_ticket.c.digest == digest, console_ticket.c.expires_at > at)
    found = await conn.execute(
        delete(console_ticket)
        .where(*good)
        .returning(console_ticket.c.server_id, console_ticket.c.token_id, console_ticket.c.session_digest)
    )
    row = found.one_or_none()
    return Taken(*row) if row else None


async def open_for(conn: Connection, taken: Taken, at: datetime) -> Record | None:
    """Return the account and the cell of a server whose terminal may be open; None where it may not, or no longer.

    The server is there and runs, its account may run servers and isn't disabled, token and session are alive.
    """
    columns = (server.c.account_id, cell.c.socket, cell.c.members, cell.c.certificate, cell.c.project, cell.c.pool)
    asked = (
        select(*columns)
        .join(cell, cell.c.id == server.c.cell_id)
        .join(account, account.c.id == server.c.account_id)
        .join(token, token.c.account_id == account.c.id)
        .where(
            server.c.id == taken.server_id,
            server.c.status.in_(("active", "rebooting")),
            token.c.id == taken.token_id,
            token.c.revoked_at.is_(None),
            or_(token.c.expires_at.is_(None), token.c.expires_at > at),
            account.c.disabled_at.is_(None),
            ~SUSPENDED,
        )
    )
    if taken.session_digest is not None:
        alive = (session.c.digest == taken.session_digest, session.c.expires_at > at)
        asked = asked.where(exists().where(*alive))
    return (await conn.execute(asked)).one_or_none()
