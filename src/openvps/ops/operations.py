"""`openvps action`, and pauses of cells and locations: by root on the host, as `/admin/` does over the API."""

from typing import Any

from rich.console import Console
from rich.table import Table

from openvps.accounts import audit
from openvps.compute.locations import queries as locations
from openvps.compute.operations import levers, queries, shape
from openvps.core import settings
from openvps.core.db import Connection
from openvps.ops.accounts import ALL, Output, run, say, talk


def actions(output: Output, *, stuck: bool) -> int:
    """Print everybody's unfinished actions, or those that don't get on."""

    async def work(conn: Connection) -> int:
        _, found = await queries.unfinished(conn, stuck=stuck, offset=0, limit=ALL)
        rows = [shape.action(row) for row in found]
        if output == "json":
            return say(output, rows, [])
        table = Table("ACTION", "KIND", "OF", "ACCOUNT", "CELL", "SINCE", "UNTIL", "STATE", box=None)
        for one in rows:
            state = "stuck" if one["stuck"] else "on its way"
            table.add_row(
                *(str(one["id"]), one["kind"], str(one["subject_id"]), str(one["account_id"]), one["cell"] or ""),
                *(one["created_at"], one["deadline_at"] or "", state),
            )
        Console(highlight=False, markup=False).print(table)
        return 0

    return run(work)


def retry(action: str, output: Output) -> int:
    """Have an unfinished action tried now, and give it its time again."""

    async def work(conn: Connection) -> int:
        row = await levers.found(conn, await queries.known(conn, action))
        await levers.retry(conn, row)
        await audit.record_host(conn, "retry_action", f"action {row.id}")
        return say(output, shape.action(await levers.found(conn, row.id)), [f"{row.kind} is tried now"])

    return run(work)


def cancel(action: str, reason: str, output: Output) -> int:
    """Have an unfinished action ended, as if it had failed."""

    async def work(conn: Connection) -> int:
        row = await levers.found(conn, await queries.known(conn, action))
        await levers.cancel(conn, row, reason)
        await audit.record_host(conn, "cancel_action", f"action {row.id}", reason=reason)
        return say(output, shape.action(await levers.found(conn, row.id)), [f"{row.kind} is ended by a worker now"])

    return run(work)


def pause_cell(name: str, reason: str | None) -> int:
    """Have no new servers made in a cell, or with no reason (None) have them made again."""

    async def work(conn: Connection) -> int:
        row = await locations.cell_named(conn, name)
        if row is None:
            talk(f"openvps: there is no cell {name}; see `openvps cell list`")
            return 1
        return await _pause(conn, "cell", row.id, name, reason)

    return run(work)


def pause_location(code: str, reason: str | None) -> int:
    """Have no new servers made in a location, or with no reason (None) have them made again."""

    async def work(conn: Connection) -> int:
        number = await locations.location_coded(conn, code)
        if number is None:
            talk(f"openvps: there is no location {code}")
            return 1
        return await _pause(conn, "location", number, code, reason)

    return run(work)


def limit_creates(name: str, creates_at_once: int) -> int:
    """Have at most so many servers made in a cell at once; 0: as many as the setting says."""

    async def work(conn: Connection) -> int:
        row = await locations.cell_named(conn, name)
        if row is None or creates_at_once < 0:
            talk(f"openvps: there is no cell {name}" if row is None else "openvps: 1 or more; 0: the setting's")
            return 1
        await locations.limit_creates(conn, row.id, creates_at_once or None)
        await audit.record_host(conn, "change_cell", f"cell {row.id}", creates_at_once=str(creates_at_once))
        shown: Any = await queries.cell(conn, row.id, settings.load().creates_at_once)
        talk(f"openvps: {name} makes {shown.creates_at_once} servers at once")
        return 0

    return run(work)


async def _pause(conn: Connection, place: str, number: int, name: str, reason: str | None) -> int:
    if reason is None:
        await locations.resume(conn, place, number)
        await audit.record_host(conn, f"resume_{place}", f"{place} {number}")
        talk(f"openvps: new servers are made in {name} again")
    else:
        await locations.pause(conn, place, number, reason)
        await audit.record_host(conn, f"pause_{place}", f"{place} {number}", reason=reason)
        talk(f"openvps: no new servers are made in {name}; those that are there go on")
    return 0
