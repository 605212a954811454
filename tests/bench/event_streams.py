"""`script/bench streams`: a thousand event streams at once on one api process: memory each, idle CPU, and delay.

Streams are plain sockets here, so that what is measured is the process's own. Twenty belong to an account, as many as
a token may have.
"""

import asyncio
import os
import statistics
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from api_process import Account, Api, running
from processes import of, pss_mb
from tables import say, table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

A_TOKEN = 20
AT_ONCE = 50
IDLE_S = 30.0
PATIENCE_S = 60.0
MAX_KB = 100
TOLD = "INSERT INTO notice (account_id, kind, text) SELECT id, 'low', 'Add credit.' FROM account"


def run(*, streams: int) -> bool:
    """Measure and print; returns whether every stream had every event, and none cost more than is promised."""
    with running() as api:
        accounts = [api.account() for _ in range(-(-streams // A_TOKEN))]
        return asyncio.run(_measure(api, [accounts[n // A_TOKEN] for n in range(streams)]))


async def _measure(api: Api, owners: list[Account]) -> bool:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_stream(api, owners[0]))
        before = pss_mb(api.pid)
        readers = [first]
        for start in range(1, len(owners), AT_ONCE):
            opened = (stack.enter_async_context(_stream(api, one)) for one in owners[start : start + AT_ONCE])
            readers += await asyncio.gather(*opened)
        each_kb = (pss_mb(api.pid) - before) * 1000 / (len(owners) - 1)
        began, load = of(api.pid), os.getloadavg()[0]
        await asyncio.sleep(IDLE_S)
        ended = of(api.pid)
        assert began
        assert ended
        idle = 100 * (ended.own_s - began.own_s) / IDLE_S
        asked = time.monotonic()
        await asyncio.to_thread(api.sql, TOLD)
        delays = await asyncio.gather(*(_told(reader, asked) for reader in readers))
    rows = [
        ["streams", str(len(owners)), ""],
        ["memory each, KB of PSS", f"{each_kb:.1f}", f"{MAX_KB}"],
        ["the process with all of them, MB", f"{before + each_kb * len(owners) / 1000:.1f}", ""],
        ["CPU while nothing happens, % of a core", f"{idle:.1f}", ""],
        ["an event to all of them, median ms", f"{statistics.median(delays) * 1000:.0f}", ""],
        ["the last of them, ms", f"{max(delays) * 1000:.0f}", ""],
    ]
    say(f"load {load:.2f}\n\n" + table(["event streams on one api process", "measured", "at most"], rows))
    return each_kb <= MAX_KB


@asynccontextmanager
async def _stream(api: Api, owner: Account) -> "AsyncGenerator[asyncio.StreamReader]":
    """Open a stream, and read until it has begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    lines = (
        "GET /api/v1/events/ HTTP/1.1",
        "Host: bench",
        "Accept: text/event-stream",
        f"Authorization: Bearer {owner.token}",
    )
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = await asyncio.wait_for(reader.readuntil(b"retry: 2000\n\n"), PATIENCE_S)
    assert b" 200 " in head.splitlines()[0], head
    try:
        yield reader
    finally:
        writer.close()


async def _told(reader: asyncio.StreamReader, asked: float) -> float:
    """Return how many seconds after it was written the stream had the event."""
    await asyncio.wait_for(reader.readuntil(b"account.notice"), PATIENCE_S)
    return time.monotonic() - asked
