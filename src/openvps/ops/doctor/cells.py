"""Cells on other machines: asked over HTTPS, with our certificate, as the worker does."""

import asyncio

from sqlalchemy.exc import OperationalError

from openvps.compute.locations import queries as locations
from openvps.core.db import Database, Record
from openvps.core.settings import Settings
from openvps.engine.incus.reach import open_cell, ping
from openvps.engine.protocol import EngineError
from openvps.ops.doctor.finding import Finding


def remote_cells(config: Settings) -> Finding:
    """Ask every remote cell whether it is there, and for its images."""
    return asyncio.run(_looked(config))


async def _looked(config: Settings) -> Finding:
    database = Database(config.conninfo("owner"))
    try:
        async with database.begin() as conn:
            rows = [row for row in await locations.cells(conn) if row.socket is None]
    except OperationalError:
        return Finding("remote cells", "ok", "not looked for: the database doesn't run")
    finally:
        await database.close()
    if not rows:
        return Finding("remote cells", "ok", "none")
    troubles = [trouble for trouble in await asyncio.gather(*(_asked(config, row) for row in rows)) if trouble]
    if troubles:
        advice = (
            "see the cell's daemon and the way to it; where its certificate changed: openvps cell edit --trust-token"
        )
        return Finding("remote cells", "fail", "; ".join(troubles), advice)
    return Finding("remote cells", "ok", f"{len(rows)} answer")


async def _asked(config: Settings, row: Record) -> str | None:
    """Return what is wrong with a cell."""
    try:
        engine = open_cell(config, row)
    except OSError as error:
        return f"{row.name}: our own certificate can't be read: {error}"
    try:
        await ping(engine)
        return None if await engine.images() else f"{row.name} has no image: openvps cell edit {row.name}"
    except EngineError as error:
        return f"{row.name}: {error}"
    finally:
        await engine.close()
