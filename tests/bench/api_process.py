"""One api process, as `openvps up` runs it, on a PostgreSQL of its own; no worker, so that nothing else happens."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg
from fastapi import FastAPI

from factories import Client, World
from openvps import migrations
from openvps.compute.servers import counts
from openvps.core import settings
from openvps.core.db import Database
from openvps.engine.protocol import Capacity
from running import free_port
from throwaway_postgres import throwaway_postgres

ROOM = Capacity(cpus=1 << 16, largest_host_cpus=64, memory_mib=1 << 28, disk_gb=1 << 24)
POSTGRES = "-c max_connections=100"  # else as it comes: a commit is durable
NEVER_REACHED = 10**9  # the limit is on, and is counted against


@dataclass(frozen=True)
class Account:
    """An account of the process's installation, and the token that requests have."""

    id: int
    token: str


@dataclass(frozen=True)
class Api:
    """The running process."""

    port: int
    pid: int
    database_url: str

    def sql(self, statement: str, *values: object) -> None:
        """Run a statement on its database, outside a transaction."""
        with psycopg.connect(self.database_url, autocommit=True) as conn:
            conn.execute(statement.encode(), values)

    def account(self, servers: int = 0) -> Account:
        """Make an account that may have any number of servers, and has some already: ordered, and then active."""
        return asyncio.run(self._account(servers))

    async def _account(self, servers: int) -> Account:
        database = Database(self.database_url)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}/api/v1", trust_env=False) as http:
            world = World(database, settings.load(), http, FastAPI())
            client: Client = await world.a_client(credit=10**6)
            await world.sql(
                "UPDATE account SET max_servers = 1000000, max_vcpus = 10000000, creates_an_hour = 1000000"
                " WHERE id = :id",
                id=client.account_id,
            )
            for number in range(servers):
                await world.a_server(client, name=f"web-{number}", tags=["bench"])
            async with database.begin() as conn:
                await counts.add_up(conn)  # as a worker does every few seconds
        await database.close()
        return Account(client.account_id, client.token)


@contextmanager
def running() -> Generator[Api]:
    """Run the process until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="openvps-bench-api-") as folder:
        Path(folder).chmod(0o755)
        with throwaway_postgres(Path(folder) / "postgres", POSTGRES) as url:
            port = free_port()
            migrations.upgrade(url)
            ours = {
                "CONFIG": "/nonexistent",
                "DATABASE_URL": url,
                "LISTEN": f"127.0.0.1:{port}",
                "CONTAINER_PLANS": "everyone",
                "IPV4_POOL": "10.128.0.0/16",
                "RATE_LIMIT": str(NEVER_REACHED),
                "RATE_LIMIT_BURST": str(NEVER_REACHED),
                "LOG_LEVEL": "WARNING",
            }
            os.environ.update({f"OPENVPS_{name}": value for name, value in ours.items()})
            settings.load.cache_clear()
            asyncio.run(_seed(url))
            program = "import sys; from openvps.ops.serve import main; sys.exit(main())"
            process = subprocess.Popen([sys.executable, "-c", program])
            try:
                _wait(port)
                yield Api(port, process.pid, url)
            finally:
                process.terminate()
                process.wait()


async def _seed(url: str) -> None:
    database = Database(url)
    await World(database, settings.load(), httpx2.AsyncClient(), FastAPI()).prepare(ROOM)
    async with database.begin() as conn:  # as seen by a worker, as long as it takes
        await conn.exec_driver_sql("UPDATE cell SET seen_at = now() + interval '1 day'")
    await database.close()


def _wait(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
