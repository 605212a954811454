"""`openvps plan`: what is sold at which price. Servers keep the price they were made with until told otherwise."""

from typing import Any

from rich.console import Console
from rich.table import Table

from openvps.accounts import audit
from openvps.compute.plans import queries
from openvps.compute.plans.fields import NewPlan, PlanChange, columns
from openvps.compute.plans.price import apply
from openvps.core.db import Connection, Record
from openvps.core.errors import NotFound
from openvps.core.money import major
from openvps.ops.accounts import Output, checked, run, say, talk


def _shown(row: Record) -> dict[str, Any]:
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "kind": row.kind,
        "vcpus": row.vcpus,
        "memory_mib": row.memory_mib,
        "storage_gb": row.storage_gb,
        "bandwidth_gb": row.bandwidth_gb,
        "price_monthly": major(row.price_monthly_micro, 6),
        "description": row.description,
        "retired": row.retired_at is not None,
    }


def list_(output: Output) -> int:
    """Print every plan, retired ones too."""

    async def work(conn: Connection) -> int:
        rows = [_shown(row) for row in await queries.all_plans(conn)]
        if output == "json":
            return say(output, rows, [])
        table = Table("ID", "SLUG", "KIND", "VCPUS", "MIB", "GB", "TRAFFIC GB", "MONTH", "STATE", box=None)
        for one in rows:
            sizes = (one["vcpus"], one["memory_mib"], one["storage_gb"], one["bandwidth_gb"], one["price_monthly"])
            state = "retired" if one["retired"] else ""
            table.add_row(str(one["id"]), one["slug"], one["kind"], *map(str, sizes), state)
        Console(highlight=False, markup=False).print(table)
        return 0

    return run(work)


def add(slug: str, output: Output, **fields: Any) -> int:
    """Offer a new plan; one of this slug that is there already is left as it is."""

    async def work(conn: Connection) -> int:
        row = await queries.add(conn, columns(checked(NewPlan, slug=slug, **fields)))
        if row is None:
            talk(f"there is a plan {slug!r} already; nothing was changed")
            row = await _found(conn, slug)
        else:
            await audit.record_host(conn, "add_plan", f"plan {row.id}")
        return say(output, _shown(row), [f"plan {row.id}: {row.slug}"])

    return run(work)


def edit(plan: str, output: Output, *, apply_to_existing: bool, **fields: Any) -> int:
    """Change a plan; with `apply_to_existing` its servers have its price from their next hour on."""

    async def work(conn: Connection) -> int:
        before = await _found(conn, plan)
        values = columns(checked(PlanChange, **fields))
        del values["apply_to_existing"]
        row = await queries.edit(conn, before.id, values) if values else before
        changed = await apply(conn, row.id) if apply_to_existing else 0
        prices = {"from_micro": str(before.price_monthly_micro), "to_micro": str(row.price_monthly_micro)}
        await audit.record_host(conn, "edit_plan", f"plan {row.id}", **prices, servers=str(changed))
        shown = {**_shown(row), "servers_changed": changed}
        return say(output, shown, [f"plan {row.id}: {row.slug}: {changed} servers have another price"])

    return run(work)


def retire(plan: str, output: Output) -> int:
    """Take a plan out of the offer; servers that have it keep it."""

    async def work(conn: Connection) -> int:
        row = await queries.retire(conn, (await _found(conn, plan)).id)
        await audit.record_host(conn, "retire_plan", f"plan {row.id}")
        return say(output, _shown(row), [f"plan {row.id}: {row.slug}: retired"])

    return run(work)


async def _found(conn: Connection, text: str) -> Record:
    """Return the plan of this number or slug. Raises NotFound."""
    for row in await queries.all_plans(conn):
        if text in {str(row.id), row.slug}:
            return row
    raise NotFound(f"There is no plan {text!r}.")
