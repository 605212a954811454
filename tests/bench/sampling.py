"""`script/bench metering`, second half: what it takes to keep what servers use, and to read it.

One cell with all of the servers, its engine's answers as Incus gives them: a list of machines, and metrics as text,
which the worker's own code reads, compares and writes. PostgreSQL is durable, as it comes.
"""

import asyncio
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
from tables import say, table

from factories import Client, World
from openvps.app import create_app
from openvps.compute.servers import watch
from openvps.compute.servers.context import Context
from openvps.compute.usage import partitions
from openvps.core import settings
from openvps.core.clock import iso, now
from openvps.core.db import Database
from openvps.engine.incus.metrics import usage_of
from openvps.engine.protocol import Machine, Usage

LIMIT_S, LIMIT_MB, LIMIT_MS = 10, 300, 50
LOOKS = 2  # a minute, at the product's interval
ROUNDS = 30
DAYS = 30
GRAPHED = 1_000  # servers whose hours of a month lie in the table that one's are read from
ENTRIES = 1_000_000

SERVERS = """
INSERT INTO server (account_id, name, hostname, status, wanted, plan_id, vcpus, memory_mib, storage_gb,
    price_monthly_micro, system_id, image_id, cell_id, location_id, authorized_keys, ready_at)
SELECT account_id, name, hostname, 'active', 'running', plan_id, vcpus, memory_mib, storage_gb,
    price_monthly_micro, system_id, image_id, cell_id, location_id, authorized_keys, now()
FROM server, generate_series(2, %s)
"""
HOURS = """
INSERT INTO usage_hour SELECT n, date_trunc('hour', now()) - h * interval '1 hour', 120, 3600, 7200, 1800, 1 << 28,
    1 << 30, 1 << 30, 1 << 29 FROM generate_series(0, %s) h, generate_series(1, %s) n
"""
LEDGER = """
INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, at)
SELECT account_id, -7440, 'hour', n, now() - n %% 8760 * interval '1 hour'
FROM server, generate_series(1, %s) n WHERE server.id = 1
"""
LINES = {
    'incus_cpu_seconds_total{cpu="0",mode="user",%}': 1.5,
    'incus_cpu_seconds_total{cpu="0",mode="system",%}': 0.5,
    "incus_memory_MemTotal_bytes{%}": 2.0**31,
    "incus_memory_MemAvailable_bytes{%}": 2.0**30,
    'incus_network_receive_bytes_total{device="eth0",%}': 1e6,
    'incus_network_transmit_bytes_total{device="eth0",%}': 1e6,
}
OTHERS = 32  # lines of a machine that nobody reads


class Answers:
    """What an engine with many machines says when it is asked for all of them."""

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._looks = 0

    async def machines(self) -> list[Machine]:
        """Return every machine, running."""
        return [
            Machine(f"vps-{n}", "running", 1, 2048, 40, "web-1", {}, disk_used_bytes=1 << 30)
            for n in range(1, self._servers + 1)
        ]

    async def usage(self) -> dict[str, Usage]:
        """Return what is read of the metrics' text; counters have moved since the last time."""
        self._looks += 1
        return usage_of("\n".join(self._text(n) for n in range(1, self._servers + 1)))

    def _text(self, number: int) -> str:
        labels = f'name="vps-{number}",project="openvps",type="container"'
        lines = [f"{name.replace('%', labels)} {value * self._looks}" for name, value in LINES.items()]
        return "\n".join([*lines, *(f"incus_disk_reads_completed_total{{{labels}}} 1" for _ in range(OTHERS))])


def run(url: str, *, servers: int) -> bool:
    """Measure and print; returns whether the targets were met."""
    os.environ |= {
        "OPENVPS_DATABASE_URL": url,
        "OPENVPS_CONTAINER_PLANS": "everyone",
        "OPENVPS_CONFIG": "/nonexistent",
    }
    with psycopg.connect(url, autocommit=True) as conn:
        asyncio.run(_prepare(url))
        conn.execute(SERVERS.encode(), [servers])
        conn.execute("VACUUM ANALYZE")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            took, peak = pool.apply(_look, (url, servers))
        minute = sum(took[1:])
        rows = [["the first look", f"{servers:,}", f"{took[0]:.1f}", ""]]
        rows.append([f"a minute's {LOOKS}", f"{servers * LOOKS:,}", f"{minute:.1f}", f"{peak:.0f}"])
        say(table([f"looks at {servers:,} servers", "samples", "seconds", "peak of memory, MB"], rows))
        conn.execute("DELETE FROM usage_hour")
        conn.execute(HOURS.encode(), [DAYS * 24, GRAPHED])
        conn.execute(LEDGER.encode(), [ENTRIES])
        conn.execute("VACUUM ANALYZE")
    read = asyncio.run(_read(url))
    rows = [
        [name, *(f"{one:.1f}" for one in (min(each), statistics.median(each), max(each)))]
        for name, each in read.items()
    ]
    say(table(["a request, in the API's process", "least, ms", "median", "most"], rows))
    return minute < LIMIT_S and peak < LIMIT_MB and all(statistics.median(one) < LIMIT_MS for one in read.values())


async def _prepare(url: str) -> None:
    """Write an installation's rows, a server, and partitions for a month."""
    async with _world(url) as (world, client):
        await world.a_server(client)
        async with world.database.begin() as conn:
            for days in range(DAYS + 1):
                await partitions.make(conn, now() - timedelta(days=days))


@asynccontextmanager
async def _world(url: str) -> AsyncGenerator[tuple[World, Client]]:
    app, database = create_app(), Database(url)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.bench/api/v1") as http:
            world = World(database, settings.load(), http, app)
            if not await world.sql("SELECT 1 FROM cell"):
                await world.prepare()
            owner = await world.sql("SELECT account_id FROM server WHERE id = 1")
            yield world, await world.a_client(account_id=owner[0][0] if owner else None)
    await database.close()


async def _read(url: str) -> dict[str, list[float]]:
    """Return how many ms requests took."""
    since = iso(now() - timedelta(days=DAYS))
    asked = {
        f"`metrics` of {DAYS} days": f"/servers/1/metrics/?metric=received&start={since}",
        f"invoices of {ENTRIES:,} entries": "/account/invoices/",
    }
    took: dict[str, list[float]] = {name: [] for name in asked}
    async with _world(url) as (_, client):
        for name, path in asked.items():
            for _ in range(ROUNDS):
                began = time.perf_counter()
                answer = await client("GET", path)
                took[name].append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, answer.text
    return took


def _look(url: str, servers: int) -> tuple[list[float], float]:
    """Look at the cell as the worker does, in a new process; returns how long it took, and MB at most."""
    took: list[float] = []

    async def looks() -> None:
        database = Database(url)
        engines: Any = {1: Answers(servers)}
        context = Context(database, settings.load(), engines)
        for _ in range(1 + LOOKS):
            began = time.perf_counter()
            await watch.look_at_cell(context, 1)
            took.append(time.perf_counter() - began)
        await database.close()

    asyncio.run(looks())
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT sum(samples) FROM usage_hour").fetchone()
    assert row is not None
    assert row[0] == servers * (1 + LOOKS), row
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
