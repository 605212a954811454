"""Giving a plan's servers its present price: from each one's next hour on, unless they are being resized."""

from sqlalchemy import select, update

from openvps.core.db import Connection
from openvps.ledger import rates
from openvps.schema import plan, server


async def apply(conn: Connection, plan_id: int) -> int:
    """Have every server of a plan cost what the plan costs; returns how many cost another price than before.

    Accounts are locked in the order of their ids before their servers, as all do who change what is charged.
    """
    columns = (plan.c.price_monthly_micro, plan.c.bandwidth_gb)
    rate = rates.Rate(*(await conn.execute(select(*columns).where(plan.c.id == plan_id))).one())
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
