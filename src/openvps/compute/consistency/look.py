"""Looking at everything, twice: only what both looks find is a finding, so that nothing on its way is one."""

import asyncio
from datetime import timedelta

from openvps.compute.consistency import queries
from openvps.compute.consistency.compare import look_at_cell
from openvps.compute.consistency.findings import Finding, Report, Seen
from openvps.compute.consistency.repair import repair
from openvps.compute.consistency.rows import look_at_rows
from openvps.compute.locations import queries as locations
from openvps.compute.servers.context import Context
from openvps.core import log
from openvps.core.db import Connection
from openvps.engine.protocol import Away, EngineError

logger = log.get(__name__)

BETWEEN_S = 6.0  # longer than a turn of the sweep, and than a thing is in the engine and not yet in its row
KEPT = timedelta(days=90)


async def look(context: Context) -> Seen:
    """Compare every cell with its rows, and the rows with each other, once."""
    async with context.database.begin() as conn:
        cells = await locations.cells(conn)
    seen = Seen(cells=len(cells))
    for cell in cells:
        engine = context.engines.get(cell.id)
        try:
            if engine is None:
                raise Away("this process has no way to it")
            seen.findings += await look_at_cell(context.database, cell, engine)
        except EngineError as error:
            seen.unseen[cell.name] = str(error)
    seen.findings += await look_at_rows(context.database, context.settings.address_rest_s)
    return seen


async def look_twice(context: Context, *, between_s: float | None = None) -> Seen:
    """Look, and if anything was found look again: what is no finding any more never was one."""
    first = await look(context)
    if not first.findings:
        return first
    await asyncio.sleep(BETWEEN_S if between_s is None else between_s)
    return (await look(context)).in_both(first)


async def check(context: Context, *, mend: bool = False, between_s: float | None = None) -> Report:
    """Return what engine and database disagree on, after mending what can be if `mend`."""
    found = await look_twice(context, between_s=between_s)
    if not (mend and found.findings):
        return Report(found)
    tried: list[Finding] = []
    for one in found.findings:
        if one.repair is None:
            continue
        try:
            await repair(context, one)
        except (EngineError, TimeoutError) as error:
            logger.warning("not_repaired", finding=one.text, error=str(error))
            continue
        logger.info("repaired", finding=one.text, repair=one.repair)
        tried.append(one)
    left = await look_twice(context, between_s=between_s)
    still = {one.key for one in left.findings}
    return Report(left, [one for one in tried if one.key not in still])


async def keep(context: Context, number: int) -> None:
    """Do what a report asks for, and keep what came of it; one that is done stays as it is."""
    async with context.database.begin() as conn:
        row = await queries.report_row(conn, number)
        if row is None or row.finished_at is not None:
            return
        await queries.begin_report(conn, number)
    report = await check(context, mend=row.repair)
    async with context.database.begin() as conn:
        await write(conn, number, report)
    if report.exit_code:
        logger.warning("inconsistent", report=number, found=len(report.left.findings), unseen=report.left.unseen)


async def write(conn: Connection, number: int, report: Report) -> None:
    """Keep what came of a look."""
    await queries.end_report(
        conn,
        number,
        found=len(report.left.findings),
        repaired=len(report.repaired),
        unseen=len(report.left.unseen),
        result=report.shown(),
    )
