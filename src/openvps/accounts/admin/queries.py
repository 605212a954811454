"""The SQL of accounts as an operator sees them. Deleted accounts are in none of it."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import account, idempotency_key, second_factor, server, sign_in_step, ssh_key, token

_SHOWN = (
    account.c.id,
    account.c.uuid,
    account.c.email,
    account.c.first_name,
    account.c.last_name,
    account.c.company_name,
    account.c.is_operator,
    account.c.max_servers,
    account.c.max_vcpus,
    account.c.creates_an_hour,
    account.c.password_hash.is_not(None).label("has_password"),
    exists()
    .where(second_factor.c.account_id == account.c.id, second_factor.c.confirmed_at.is_not(None))
    .label("second_factor"),
    account.c.invite_expires_at,
    account.c.disabled_at,
    account.c.disabled_reason,
    account.c.empty_at,
    account.c.unpaid_at,
    account.c.servers_end_at,
    account.c.suspended_at,
    account.c.suspended_reason,
    account.c.created_at,
)
_LIVE = account.c.deleted_at.is_(None)


def _named(reference: int | UUID | str) -> Any:
    if isinstance(reference, str):
        return account.c.email == reference.strip().lower()
    return (account.c.uuid if isinstance(reference, UUID) else account.c.id) == reference


async def accounts(conn: Connection, *, email: str | None, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many accounts there are, and some of them, oldest first; `email`: only that one's."""
    where = [_LIVE] + ([account.c.email == email.strip().lower()] if email is not None else [])
    count = (await conn.execute(select(func.count()).select_from(account).where(*where))).scalar_one()
    rows = await conn.execute(select(*_SHOWN).where(*where).order_by(account.c.id).offset(offset).limit(limit))
    return count, list(rows)


async def one(conn: Connection, reference: int | UUID | str, *, lock: bool = False) -> Record | None:
    """Return the account with this number, UUID or e-mail; locked, nothing is added to it meanwhile."""
    statement = select(*_SHOWN).where(_named(reference), _LIVE)
    return (await conn.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def add(conn: Connection, **values: Any) -> int | None:
    """Make an account; returns its id, or None if there is one with this e-mail."""
    return (
        await conn.execute(
            pg_insert(account)
            .values(**values)
            .on_conflict_do_nothing(index_elements=["email"])
            .returning(account.c.id)
        )
    ).scalar_one_or_none()


async def change(conn: Connection, account_id: int, **values: Any) -> None:
    """Write columns of an account."""
    await conn.execute(update(account).where(account.c.id == account_id).values(**values))


async def servers(conn: Connection, account_id: int) -> int:
    """Return how many servers the account has, those included that are being removed."""
    return (
        await conn.execute(select(func.count()).select_from(server).where(server.c.account_id == account_id))
    ).scalar_one()


async def erase(conn: Connection, account_id: int) -> None:
    """Remove what is the person's; the row, its ledger entries, actions and audit entries stay."""
    mine = select(token.c.id).where(token.c.account_id == account_id).order_by(token.c.id)
    await conn.execute(mine.with_for_update(key_share=True))  # in the order in which their use is noted
    for table in (token, ssh_key, idempotency_key, second_factor, sign_in_step):
        await conn.execute(delete(table).where(table.c.account_id == account_id))
    await change(
        conn,
        account_id,
        email=func.concat("deleted-", account.c.uuid, "@invalid"),  # nobody's; the old one is free again
        first_name="",
        last_name="",
        company_name="",
        is_operator=False,
        password_hash=None,
        invite_digest=None,
        invite_expires_at=None,
        disabled_at=func.coalesce(account.c.disabled_at, func.now()),
        deleted_at=func.now(),
    )
