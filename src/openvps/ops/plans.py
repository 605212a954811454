"""`openvps plan`: what is sold at which price. Servers keep the price they were made with until told otherwise."""

from typing import Any

from rich.console import Console
from rich.table import Table

from openvps.accounts import audit
from openvps.compute.plans import queries
from openvps.compute.plans.fields import NewPlan, PlanChange, columns
from openvps.compute.plans.price import change
from openvps.compute.plans.shape import shown
from openvps.core.db import Connection, Record
from openvps.core.errors import NotFound
from openvps.ops.accounts import Output, checked, run, say, talk


def list_(output: Output) -> int:
    """Print every plan, retired ones too."""

    async def work(conn: Connection) -> int:
        rows = [shown(row) for row in await queries.sold(conn)]
        if output == "json":
            return say(output, rows, [])
        table = Table("ID", "SLUG", "KIND", "VCPUS", "MIB", "GB", "TRAFFIC GB", "MONTH", "STATE", box=None)
        for one in rows:
            sizes = (one["vcpus"], one["memory_mib"], one["storage_gb"], one["bandwidth_gb"], one["price"])
            state = "retired" if one["retired_at"] else ""
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
            await audit.record_host(conn, "create_plan", f"plan {row.id}")
        return say(output, shown(row), [f"plan {row.id}: {row.slug}"])

    return run(work)


def edit(plan: str, output: Output, *, apply_to_existing: bool, **fields: Any) -> int:
    """Change a plan; with `apply_to_existing` its servers have its price from their next hour on."""

    async def work(conn: Connection) -> int:
        before = await _found(conn, plan)
        wanted = checked(PlanChange, apply_to_existing=apply_to_existing, **fields)
        row, changed, details = await change(conn, before, wanted)
        await audit.record_host(conn, "change_plan", f"plan {row.id}", **details)
        said = {**shown(row), "servers_changed": changed}
        return say(output, said, [f"plan {row.id}: {row.slug}: {changed} servers have another price"])

    return run(work)


def retire(plan: str, output: Output) -> int:
    """Take a plan out of the offer; servers that have it keep it."""

    async def work(conn: Connection) -> int:
        row = await queries.retire(conn, (await _found(conn, plan)).id)
        await audit.record_host(conn, "retire_plan", f"plan {row.id}")
        return say(output, shown(row), [f"plan {row.id}: {row.slug}: retired"])

    return run(work)


async def _found(conn: Connection, text: str) -> Record:
    """Return the plan of this number or slug. Raises NotFound."""
    for row in await queries.sold(conn):
        if text in {str(row.id), row.slug}:
            return row
    raise NotFound(f"There is no plan {text!r}.")
