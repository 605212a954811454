"""A whole OpenVPS of several processes on one external PostgreSQL: each may be killed and started again."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from fastapi import FastAPI

from factories import ED25519, Client, World
from openvps import migrations
from openvps.compute.systems import queries as systems
from openvps.core import settings
from openvps.core.db import Database
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Capacity
from running import Running, an_api, free_port, listens
from throwaway_postgres import throwaway_postgres
from tiny_image import build_tiny_image

ROOM = Capacity(cpus=1 << 16, largest_host_cpus=64, memory_mib=1 << 28, disk_gb=1 << 24)
DURABLE = "-c max_connections=200"  # else as it comes: a commit is durable
QUOTAS = {"max_servers": 10**6, "max_vcpus": 10**7, "creates_an_hour": 10**6}
SIMULATED = str(Path(__file__).with_name("simulated_process.py"))
WORKER = (sys.executable, "-P", "-m", "openvps", "worker")


@dataclass
class Installation:
    """The processes; each of `apis` listens on the port at the same place."""

    folder: Path
    database_url: str
    apis: list[Running] = field(default_factory=list[Running])
    ports: list[int] = field(default_factory=list[int])
    workers: list[Running] = field(default_factory=list[Running])

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement on the database and return its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as conn:
            done = conn.execute(statement.encode(), values)
            return done.fetchall() if done.description else []

    def deadlocks(self) -> int:
        """Return how many deadlocks PostgreSQL has ended; processes tell it so as they end, at the latest."""
        [(count,)] = self.sql("SELECT sum(deadlocks)::int FROM pg_stat_database")
        return count

    def start(self, *, apis: int, workers: int, worker: tuple[str, ...] = WORKER) -> None:
        """Start processes, and wait until they are ready."""
        for number in range(apis):
            self.ports.append(free_port())
            self.apis.append(an_api(self.folder / f"api-{number}.log", self.ports[-1]))
        for number in range(workers):
            self.workers.append(Running(worker, self.folder / f"worker-{number}.log").start())
        for api, port in zip(self.apis, self.ports, strict=True):
            listens(api, port)
        for one in self.workers:
            one.says("worker_ready")

    def end(self) -> dict[str, int]:
        """Ask all to end; returns their exit codes."""
        return {one.log.stem: one.end() for one in (*self.workers, *self.apis) if one.code is None}

    def kill(self) -> None:
        """End what still runs."""
        for one in (*self.workers, *self.apis):
            if one.code is None:
                one.kill()

    def customer(self) -> Client:
        """Return a new account with a key, whose quotas are in nobody's way."""
        return asyncio.run(self.a_customer())

    async def a_customer(self) -> Client:
        """As `customer`, where a loop runs."""
        database = Database(self.database_url)
        base = f"http://127.0.0.1:{self.ports[0]}/api/v1"
        async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
            world = World(database, settings.load(), http, FastAPI())
            client = await world.a_client(credit=10**6)
            for name, value in QUOTAS.items():
                await world.sql(
                    f"UPDATE account SET {name} = :value WHERE id = :id", value=value, id=client.account_id
                )
            await client("POST", "/ssh-keys/", {"name": "key", "public_key": ED25519})
        await database.close()
        return client


@contextmanager
def an_installation(**changed: str) -> Generator[Installation]:
    """Make database and settings (`changed`, without OPENVPS_); whoever wants processes starts them."""
    with tempfile.TemporaryDirectory(prefix="openvps-several-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with throwaway_postgres(folder / "postgres", DURABLE) as postgres:
            with psycopg.connect(postgres, autocommit=True) as conn:
                conn.execute("CREATE DATABASE openvps")
            url = postgres.replace("/postgres?", "/openvps?")
            migrations.upgrade(url)
            ours = {
                "CONFIG": "/nonexistent",
                "DATABASE_URL": url,
                "DATA_DIR": str(folder),
                "CONTAINER_PLANS": "everyone",
                "RATE_LIMIT": "1000000000",
                "RATE_LIMIT_BURST": "1000000000",
                "STOP_GRACE_S": "5",
                "LOG_LEVEL": "INFO",
                **changed,
            }
            with _environment({f"OPENVPS_{key}": value for key, value in ours.items()}):
                asyncio.run(_seed(url))
                made = Installation(folder, url)
                try:
                    yield made
                finally:
                    made.kill()


@contextmanager
def _environment(ours: Mapping[str, str]) -> Generator[None]:
    """Have these settings until the end of the block, as the processes that are started in it."""
    before = dict(os.environ)
    os.environ.update(ours)
    settings.load.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.load.cache_clear()


async def _seed(url: str) -> None:
    database = Database(url)
    world = World(database, settings.load(), httpx2.AsyncClient(), FastAPI())
    await world.prepare(ROOM)
    await world.sql("UPDATE plan SET memory_mib = 128, storage_gb = 1, vcpus = 1")
    await world.sql("UPDATE plan SET memory_mib = 96 WHERE id = 2")
    await database.close()


def on_incus(made: Installation, socket: Path, project: str) -> None:
    """Have the cell be a real daemon's, with the light image."""
    image = made.folder / "tiny.tar"
    build_tiny_image(image)

    async def prepare() -> None:
        engine = open_engine(socket, project, project)
        fingerprint = await engine.add_image(image)
        await engine.close()
        await _reached(made.database_url, fingerprint)

    asyncio.run(prepare())
    made.sql("UPDATE cell SET socket = %s, project = %s, pool = %s", str(socket), project, project)


def on_simulated(made: Installation, *, takes_s: float) -> tuple[Running, tuple[str, ...]]:
    """Have the cell be SIMULATED: returns the engine's process, and the words of workers on it."""
    socket = str(made.folder / "simulated.sock")
    argv = [sys.executable, SIMULATED, "serve", socket, str(takes_s)]
    process = Running(argv, made.folder / "simulated.log").start()
    process.says("ready")
    from simulated_process import Reached  # noqa: PLC0415 -- it brings the worker's modules

    async def prepare() -> None:
        [fingerprint] = await Reached(socket).images()
        await _reached(made.database_url, fingerprint)

    asyncio.run(prepare())
    return process, (sys.executable, SIMULATED, "worker", socket)


async def _reached(url: str, fingerprint: str) -> None:
    database = Database(url)
    async with database.begin() as conn:
        [cell] = await _cells(conn)
        await systems.add_image(conn, cell_id=cell, system_id=3, fingerprint=fingerprint)
    await database.close()


async def _cells(conn: Any) -> list[int]:
    return list((await conn.exec_driver_sql("SELECT id FROM cell")).scalars())
