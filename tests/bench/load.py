"""Clients that cost next to nothing: bytes on a kept connection, so that what is measured is the other side."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from processes import of


@dataclass(frozen=True)
class Target:
    """Where requests go, and whose CPU is theirs; `request` makes the bytes of each."""

    name: str
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    request: Callable[[], bytes]
    pid: int
    status: int = 200


@dataclass(frozen=True)
class Result:
    """What one round saw; milliseconds, and CPU of the other side's process."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def measure(target: Target, *, clients: int, seconds: float) -> Result:
    """Have `clients` ask one after the other, each without a pause. Raises AssertionError at a wrong status."""
    return asyncio.run(_measure(target, clients, seconds))


async def _measure(target: Target, clients: int, seconds: float) -> Result:
    times: list[float] = []
    before = of(target.pid)
    began = time.perf_counter()
    await asyncio.gather(*(_client(target, began + seconds, times) for _ in range(clients)))
    took = time.perf_counter() - began
    after = of(target.pid)
    assert before, f"{target.name} isn't there"
    assert after, f"{target.name} ended"
    p99 = statistics.quantiles(times, n=100, method="inclusive")[98] if len(times) > 1 else times[0]
    return Result(
        rate=len(times) / took,
        p50_ms=statistics.median(times) * 1e3,
        p99_ms=p99 * 1e3,
        cpu_ms=(after.own_s - before.own_s) / len(times) * 1e3,
    )


async def _client(target: Target, until: float, times: list[float]) -> None:
    reader, writer = await target.connect()
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(target.request())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        await _body(reader, head)
        times.append(time.perf_counter() - began)
        assert status == target.status, f"{target.name} answered {status}"
        if b"connection: close" in head:
            writer.close()
            reader, writer = await target.connect()
    writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
    elif b"chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.read()
