"""Changing a plan, and giving its servers its price: from each one's next hour on, unless they are being resized."""

from typing import Any

from sqlalchemy import select, update

from openvps.compute.plans import queries
from openvps.compute.plans.fields import columns
from openvps.core.db import Connection, Record
from openvps.ledger import rates
from openvps.schema import plan, server


async def change(conn: Connection, before: Record, fields: dict[str, Any]) -> tuple[Record, int, dict[str, str]]:
    """Change a plan as the fields of `PlanChange` say.

    Returns the plan, how many servers have another price now, and what the audit log says of it.
    """
    values = columns({name: value for name, value in fields.items() if name != "apply_to_existing"})
    row = await queries.edit(conn, before.id, values) if values else before
    changed = await _apply(conn, row.id) if fields["apply_to_existing"] else 0
    prices = {"from_micro": str(before.price_monthly_micro), "to_micro": str(row.price_monthly_micro)}
    return row, changed, {**prices, "servers": str(changed)}


async def _apply(conn: Connection, plan_id: int) -> int:
    """Have every server of a plan cost what the plan costs; returns how many cost another price than before.

    Accounts are locked in the order of their ids before their servers, as all do who change what is charged.
    """
    charged = (plan.c.price_monthly_micro, plan.c.bandwidth_gb)
    rate = rates.Rate(*(await conn.execute(select(*charged).where(plan.c.id == plan_id))).one())
    price = rate.price_monthly_micro
    other = (server.c.plan_id == plan_id, server.c.wanted != "absent", server.c.price_monthly_micro != price)
    accounts = (
        await conn.execute(select(server.c.account_id).where(*other).distinct().order_by(server.c.account_id))
    ).scalars()
    changed = 0
    for account_id in list(accounts):
        at = await rates.lock(conn, account_id)
        rows = await conn.execute(
            update(server)
            .where(*other, server.c.account_id == account_id, server.c.status != "resizing")
            .values(price_monthly_micro=price)
            .returning(server.c.id)
        )
        for server_id in list(rows.scalars()):
            await rates.change(conn, server_id, rate, at)
            changed += 1
    return changed
