"""The SQL of accounts and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, insert, or_, select, text

from openvps.core.db import Connection, Record
from openvps.core.errors import Unauthenticated
from openvps.schema import account, session, token


@dataclass(frozen=True)
class LiveToken:
    """A token that is neither expired nor revoked, of an account that is not disabled."""

    id: int
    account_id: int
    name: str
    permissions: list[str]
    is_operator: bool


_LIVE = (  # made once, as the two below: every request runs one of them
    select(token.c.id, token.c.account_id, token.c.name, token.c.permissions, account.c.is_operator)
    .join(account, account.c.id == token.c.account_id)
    .where(
        token.c.revoked_at.is_(None),
        or_(token.c.expires_at.is_(None), token.c.expires_at > bindparam("at")),
        account.c.disabled_at.is_(None),
    )
)
LIVE_TOKEN = _LIVE.where(token.c.digest == bindparam("digest"))
_LIVE_SESSION = _LIVE.join(session, session.c.token_id == token.c.id).where(
    session.c.digest == bindparam("digest"), session.c.expires_at > bindparam("at")
)


async def live_token(conn: Connection, digest: bytes, at: datetime) -> LiveToken | None:
    """Return the token with this digest if it may be used at `at`."""
    row = (await conn.execute(LIVE_TOKEN, {"digest": digest, "at": at})).one_or_none()
    return LiveToken(*row) if row else None


async def live_session(conn: Connection, digest: bytes, at: datetime) -> LiveToken | None:
    """Return the token that the session with this digest acts with, if both may be used at `at`."""
    row = (await conn.execute(_LIVE_SESSION, {"digest": digest, "at": at})).one_or_none()
    return LiveToken(*row) if row else None


@dataclass(frozen=True)
class TokenUse:
    """How many requests one process has had with a token since it last said so, and when the last one."""

    token_id: int
    requests: int
    last_at: datetime


async def settle_token_use(conn: Connection, uses: Sequence[TokenUse], *, per_s: float) -> dict[int, float]:
    """Add requests to what tokens have used of their limits, less what is forgotten; returns what each has used now.

    Tokens are locked in the order of their ids, so that no two processes wait for each other.
    """
    ids = [one.token_id for one in uses]
    locked = await conn.execute(
        select(token.c.id).where(token.c.id.in_(ids)).order_by(token.c.id).with_for_update(key_share=True)
    )
    there = set(locked.scalars())
    rows = [one for one in uses if one.token_id in there]
    if not rows:
        return {}
    added = {
        "ids": [one.token_id for one in rows],
        "requests": [one.requests for one in rows],
        "last": [one.last_at for one in rows],
        "per_s": per_s,
    }
    await conn.execute(_NOTE_LAST_USE, added)
    return {row.token_id: row.used for row in await conn.execute(_ADD_USE, added)}


_NOTE_LAST_USE = text(
    "UPDATE token SET last_used_at = greatest(last_used_at, told.at)"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:last AS timestamptz[])) AS told (id, at) WHERE token.id = told.id"
)
_ADD_USE = text(
    "INSERT INTO token_use AS known (token_id, used, at)"
    " SELECT id, requests, clock_timestamp()"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:requests AS float8[])) AS told (id, requests)"
    " ON CONFLICT (token_id) DO UPDATE SET"
    " used = excluded.used + greatest(0, known.used - :per_s * extract(epoch FROM excluded.at - known.at)::float8),"
    " at = excluded.at RETURNING token_id, used"
)


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
    """Lock the account's row: what is counted or spent under it is counted or spent once.

    Who waited for the lock while the account was disabled or deleted is refused. Raises Unauthenticated.
    """
    row = (
        await conn.execute(
            select(
                account.c.id,
                account.c.disabled_at,
                account.c.suspended_at,
                account.c.suspended_reason,
                account.c.max_servers,
                account.c.max_vcpus,
                account.c.creates_an_hour,
                account.c.is_operator,
            )
            .where(account.c.id == account_id)
            .with_for_update(key_share=True)
        )
    ).one()
    if row.disabled_at is not None:
        raise Unauthenticated("This account is disabled.")
    return row
