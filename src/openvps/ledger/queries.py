"""The SQL of the ledger: entries are only ever appended, and the balance is their sum, which a trigger keeps.

A hold is credit set aside until it is released or charged. Whoever spends locks the account's row first, so that two
creates at once can't spend the same credit.
"""

from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection
from openvps.schema import ledger_entry, ledger_hold, ledger_total


@dataclass(frozen=True)
class Balance:
    """Micro-units: the sum of the entries, and what of it is held."""

    total_micro: int
    held_micro: int

    @property
    def free_micro(self) -> int:
        """What can be spent."""
        return self.total_micro - self.held_micro


async def balance(conn: Connection, account_id: int) -> Balance:
    """Return the account's balance."""
    total = select(func.coalesce(func.sum(ledger_total.c.amount_micro), 0)).where(
        ledger_total.c.account_id == account_id
    )
    held = select(func.coalesce(func.sum(ledger_hold.c.amount_micro), 0)).where(
        ledger_hold.c.account_id == account_id
    )
    row = (await conn.execute(select(total.scalar_subquery(), held.scalar_subquery()))).one()
    return Balance(int(row[0]), int(row[1]))


async def append(
    conn: Connection, *, account_id: int, amount_micro: int, kind: str, reference: str, reason: str = ""
) -> bool:
    """Append one entry; the same kind and reference again is a no-op, and False."""
    put = pg_insert(ledger_entry).values(
        account_id=account_id, amount_micro=amount_micro, kind=kind, reference=reference, reason=reason
    )
    return (await conn.execute(put.on_conflict_do_nothing())).rowcount == 1


async def hold(conn: Connection, *, account_id: int, amount_micro: int, reference: str) -> None:
    """Set credit aside, in place of what this reference held; the caller locked the account and saw it there."""
    put = pg_insert(ledger_hold).values(account_id=account_id, amount_micro=amount_micro, reference=reference)
    await conn.execute(
        put.on_conflict_do_update(index_elements=["reference"], set_={"amount_micro": put.excluded.amount_micro})
    )


async def held(conn: Connection, reference: str) -> int:
    """Return what is held under a reference."""
    found = select(ledger_hold.c.amount_micro).where(ledger_hold.c.reference == reference)
    return (await conn.execute(found)).scalar_one_or_none() or 0


async def release(conn: Connection, reference: str) -> None:
    """Give held credit back; released already is success."""
    await conn.execute(delete(ledger_hold).where(ledger_hold.c.reference == reference))
