"""The SQL of second factors, and of sign-ins that wait for one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import account, second_factor, sign_in_step


async def one(conn: Connection, account_id: int, *, lock: bool = False) -> Record | None:
    """Return an account's second factor, also one that isn't confirmed yet; locked, its codes are taken in turn."""
    found = select(second_factor).where(second_factor.c.account_id == account_id)
    return (await conn.execute(found.with_for_update(key_share=True) if lock else found)).one_or_none()


async def put(conn: Connection, account_id: int, key: bytes) -> None:
    """Keep the key of a second factor that is to be confirmed, in place of one that never was."""
    values: dict[str, Any] = {"key": key, "last_step": 0, "failures": 0, "failed_at": None}
    put = pg_insert(second_factor).values(account_id=account_id, **values)
    await conn.execute(
        put.on_conflict_do_update(
            index_elements=["account_id"],
            set_={**values, "created_at": func.now()},
            where=second_factor.c.confirmed_at.is_(None),
        )
    )


async def change(conn: Connection, account_id: int, **values: Any) -> None:
    """Write columns of a second factor."""
    await conn.execute(update(second_factor).where(second_factor.c.account_id == account_id).values(**values))


async def spend(conn: Connection, account_id: int, digest: bytes, left: Sequence[bytes]) -> None:
    """Take a recovery code."""
    kept = [one for one in left if one != digest]
    await change(conn, account_id, recovery_digests=kept, failures=0, failed_at=None)


async def remove(conn: Connection, account_id: int) -> bool:
    """Remove an account's second factor; returns whether there was one."""
    gone = await conn.execute(delete(second_factor).where(second_factor.c.account_id == account_id))
    await conn.execute(delete(sign_in_step).where(sign_in_step.c.account_id == account_id))
    return gone.rowcount > 0


async def forgive(conn: Connection, account_id: int) -> None:
    """Forget an account's wrong codes: its password is another now."""
    await change(conn, account_id, failures=0, failed_at=None)
    await conn.execute(delete(sign_in_step).where(sign_in_step.c.account_id == account_id))


async def begin_step(conn: Connection, digest: bytes, account_id: int, at: datetime, until: datetime) -> None:
    """Keep that a browser has given the password of an account, and has still to give a code."""
    over = (sign_in_step.c.digest == digest) | (sign_in_step.c.expires_at < at)
    await conn.execute(delete(sign_in_step).where(over))
    await conn.execute(insert(sign_in_step).values(digest=digest, account_id=account_id, expires_at=until))


async def step(conn: Connection, digest: bytes, at: datetime) -> Record | None:
    """Return the account whose password a browser has given, if it may still give the code."""
    found = (
        select(account.c.id, account.c.email, account.c.is_operator)
        .join(sign_in_step, sign_in_step.c.account_id == account.c.id)
        .where(sign_in_step.c.digest == digest, sign_in_step.c.expires_at > at, account.c.disabled_at.is_(None))
    )
    return (await conn.execute(found)).one_or_none()


async def end_step(conn: Connection, digest: bytes) -> None:
    """Forget that a browser has given a password."""
    await conn.execute(delete(sign_in_step).where(sign_in_step.c.digest == digest))
