"""The SQL of accounts and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, insert, or_, select, update

from openvps.core.db import Connection, Record
from openvps.schema import account, token

TOKEN_USE_PRECISION = timedelta(minutes=1)  # how exact `last_used_at` is; saves a write a request


@dataclass(frozen=True)
class LiveToken:
    """A token that is neither expired nor revoked, of an account that is not disabled."""

    id: int
    account_id: int
    name: str
    permissions: list[str]
    is_operator: bool
    use_is_old: bool


async def live_token(conn: Connection, digest: bytes, at: datetime) -> LiveToken | None:
    """Return the token with this digest if it may be used at `at`."""
    row = (
        await conn.execute(
            select(
                token.c.id,
                token.c.account_id,
                token.c.name,
                token.c.permissions,
                account.c.is_operator,
                func.coalesce(token.c.last_used_at < at - TOKEN_USE_PRECISION, True).label("use_is_old"),
            )
            .join(account, account.c.id == token.c.account_id)
            .where(
                token.c.digest == digest,
                token.c.revoked_at.is_(None),
                or_(token.c.expires_at.is_(None), token.c.expires_at > at),
                account.c.disabled_at.is_(None),
            )
        )
    ).one_or_none()
    return LiveToken(*row) if row else None


async def note_token_use(conn: Connection, token_id: int) -> None:
    """Remember that a token was used now."""
    await conn.execute(update(token).where(token.c.id == token_id).values(last_used_at=func.now()))


async def add_token(
    conn: Connection,
    *,
    account_id: int,
    name: str,
    digest: bytes,
    permissions: Sequence[str],
    expires_at: datetime | None = None,
) -> int:
    """Keep a new token's digest; returns its id."""
    return (
        await conn.execute(
            insert(token)
            .values(
                account_id=account_id,
                name=name,
                digest=digest,
                permissions=list(permissions),
                expires_at=expires_at,
            )
            .returning(token.c.id)
        )
    ).scalar_one()


async def account_and_token(conn: Connection, account_id: int, token_id: int) -> Record:
    """Return the columns that `GET /account/me/` shows."""
    return (
        await conn.execute(
            select(
                account.c.email,
                account.c.first_name,
                account.c.last_name,
                account.c.company_name,
                account.c.created_at,
                token.c.name,
                token.c.permissions,
                token.c.created_at.label("token_created_at"),
                token.c.last_used_at,
                token.c.expires_at,
            )
            .join(token, token.c.account_id == account.c.id)
            .where(account.c.id == account_id, token.c.id == token_id)
        )
    ).one()


async def add_account(conn: Connection, *, email: str, is_operator: bool = False) -> int:
    """Make an account."""
    return (
        await conn.execute(insert(account).values(email=email, is_operator=is_operator).returning(account.c.id))
    ).scalar_one()


async def any_account(conn: Connection) -> int | None:
    """Return the oldest account's id, or None on a new installation."""
    return (await conn.execute(select(func.min(account.c.id)))).scalar_one()


async def lock_account(conn: Connection, account_id: int) -> Record:
    """Lock the account's row: what is counted or spent under it is counted or spent once."""
    return (
        await conn.execute(
            select(
                account.c.id,
                account.c.max_servers,
                account.c.max_vcpus,
                account.c.creates_an_hour,
                account.c.is_operator,
            )
            .where(account.c.id == account_id)
            .with_for_update()
        )
    ).one()
