"""`openvps audit`: whether engine and database agree, by root on the host. What it found is kept as well."""

import asyncio
import contextlib
import json

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from openvps.compute.consistency import look, queries
from openvps.compute.consistency.findings import Report
from openvps.compute.locations import queries as locations
from openvps.compute.servers.context import Context
from openvps.core import settings
from openvps.core.clock import iso, now
from openvps.core.db import Database
from openvps.core.settings import Settings
from openvps.engine.incus.reach import open_cell
from openvps.engine.protocol import Engine
from openvps.ops.accounts import Output, talk

CANT_LOOK = 2
BY = "root on the host"


def main(output: Output, *, repair: bool, last: bool) -> int:
    """Look, or print the last look; returns 0 where all agree, 1 where it doesn't, 2 where it couldn't be seen."""
    try:
        return asyncio.run(_last(output) if last else _look(output, repair=repair))
    except OperationalError as error:
        talk(f"openvps: the database doesn't answer; is `openvps up` running? ({str(error.orig).strip()})")
        return CANT_LOOK


async def _look(output: Output, *, repair: bool) -> int:
    config = settings.load()
    database = Database(config.conninfo("owner"))
    engines: dict[int, Engine] = {}
    try:
        await _open(config, database, engines)
        report = await look.check(Context(database, config, engines), mend=repair)
        async with database.begin() as conn:
            number = await queries.ask(conn, asked_by=BY, repair=repair, at=now())
            await queries.begin_report(conn, number)
            await look.write(conn, number, report)
    finally:
        for engine in engines.values():
            await engine.close()
        await database.close()
    return _say(output, report.shown(), report.exit_code)


async def _open(config: Settings, database: Database, engines: dict[int, Engine]) -> None:
    """Open the engine of every cell; one that can't be opened is one that can't be seen."""
    async with database.begin() as conn:
        rows = await locations.cells(conn)
    for row in rows:
        with contextlib.suppress(OSError):
            engines[row.id] = open_cell(config, row)


async def _last(output: Output) -> int:
    database = Database(settings.load().conninfo("owner"))
    try:
        async with database.begin() as conn:
            row = await queries.last_report(conn)
    finally:
        await database.close()
    if row is None:
        talk("openvps: nobody has looked yet; every night at 02:30 UTC a worker does")
        return CANT_LOOK
    talk(f"openvps: looked {iso(row.finished_at)}, for {row.asked_by}")
    return _say(output, row.result, CANT_LOOK if row.unseen else int(bool(row.found)))


def _say(output: Output, shown: dict[str, object], code: int) -> int:
    if output == "json":
        print(json.dumps(shown, indent=2))  # noqa: T201 -- the command's result
        return code
    report = Report.read(shown)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if report.left.findings or report.repaired:
        table = Table("", "KIND", "CELL", "FOUND", "REPAIR", box=None, pad_edge=False)
        for state, findings in (("repaired", report.repaired), ("", report.left.findings)):
            for one in findings:
                table.add_row(
                    state or one.problem, one.kind, one.cell or "", one.text, one.repair or "a person must decide"
                )
        console.print(table)
    for cell, reason in report.left.unseen.items():
        talk(f"openvps: the cell {cell} couldn't be looked at: {reason}")
    if not report.left.findings and not report.left.unseen:
        talk(f"openvps: engine and database agree (cells: {report.left.cells})")
    elif any(one.repair for one in report.left.findings) and not report.repaired:
        talk("openvps: nothing was changed; with --repair it would be")
    return code
