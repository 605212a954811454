"""The SQL of SSH keys."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import ssh_key

_SHOWN = (
    ssh_key.c.id,
    ssh_key.c.uuid,
    ssh_key.c.name,
    ssh_key.c.public_key,
    ssh_key.c.fingerprint,
    ssh_key.c.created_at,
    ssh_key.c.last_used_at,
)


def _named(account_id: int, reference: int | UUID) -> tuple[Any, ...]:
    key = ssh_key.c.uuid if isinstance(reference, UUID) else ssh_key.c.id
    return ssh_key.c.account_id == account_id, key == reference


async def keys(conn: Connection, account_id: int, *, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many keys the account has, and some of them, oldest first."""
    count = (
        await conn.execute(select(func.count()).select_from(ssh_key).where(ssh_key.c.account_id == account_id))
    ).scalar_one()
    rows = await conn.execute(
        select(*_SHOWN).where(ssh_key.c.account_id == account_id).order_by(ssh_key.c.id).offset(offset).limit(limit)
    )
    return count, list(rows)


async def key(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's keys."""
    return (await conn.execute(select(*_SHOWN).where(*_named(account_id, reference)))).one_or_none()


async def named(conn: Connection, account_id: int, references: Iterable[int | UUID]) -> dict[int | UUID, Record]:
    """Return those of the account's keys that are named, by how they are named."""
    wanted = set(references)
    rows = await conn.execute(
        select(*_SHOWN)
        .where(
            ssh_key.c.account_id == account_id,
            or_(
                ssh_key.c.id.in_([one for one in wanted if isinstance(one, int)]),
                ssh_key.c.uuid.in_([one for one in wanted if isinstance(one, UUID)]),
            ),
        )
        .order_by(ssh_key.c.id)
    )
    return {name: row for row in rows for name in (row.id, row.uuid) if name in wanted}


async def lines(conn: Connection, account_id: int) -> list[str]:
    """Return every key of the account as lines of authorized_keys."""
    rows = await conn.execute(
        select(ssh_key.c.public_key).where(ssh_key.c.account_id == account_id).order_by(ssh_key.c.id)
    )
    return list(rows.scalars())


async def add(conn: Connection, *, account_id: int, name: str, public_key: str, fingerprint: str) -> Record | None:
    """Keep a key; returns None if the account has it already."""
    return (
        await conn.execute(
            pg_insert(ssh_key)
            .values(account_id=account_id, name=name, public_key=public_key, fingerprint=fingerprint)
            .on_conflict_do_nothing(index_elements=["account_id", "fingerprint"])
            .returning(*_SHOWN)
        )
    ).one_or_none()


async def remove(conn: Connection, account_id: int, reference: int | UUID) -> int | None:
    """Delete a key; returns its id, or None if there was none."""
    return (
        await conn.execute(delete(ssh_key).where(*_named(account_id, reference)).returning(ssh_key.c.id))
    ).scalar_one_or_none()
