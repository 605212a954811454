"""How a cell's engine is reached: what its row says, and the files with which remote cells know us."""

import asyncio
from pathlib import Path

from openvps.core.db import Record
from openvps.core.settings import Settings
from openvps.engine.incus import open_engine, open_remote
from openvps.engine.incus.trust import pinned
from openvps.engine.protocol import Away, Engine

PING_S = 4.0


def own_files(config: Settings) -> tuple[Path, Path]:
    """Return where our certificate and its key are, with which remote cells know us."""
    folder = config.data_dir / "cells"
    return folder / "client.crt", folder / "client.key"


def open_cell(config: Settings, row: Record) -> Engine:
    """Return the engine of a cell; nothing is asked of it yet. Raises OSError where our key can't be read."""
    if row.socket is not None:
        return open_engine(Path(row.socket), row.project, row.pool)
    return open_remote(row.members, pinned(row.certificate, *own_files(config)), row.project, row.pool)


async def ping(engine: Engine) -> None:
    """Ask an engine whether it is there. Raises Away after PING_S at the latest."""
    try:
        async with asyncio.timeout(PING_S):
            await engine.ping()
    except TimeoutError as error:
        raise Away(f"no answer within {PING_S:.0f} s") from error
