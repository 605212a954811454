"""The database: one async engine a process, explicit transactions.

Callers write `async with database.begin() as conn:` and hand `conn` to the slices' queries. No
transaction is held over a call to the engine or to the network.
"""

import select
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Row, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

Connection = AsyncConnection
Record = Row[*tuple[Any, ...]]  # a row of a query, read by its columns' names
T = TypeVar("T")

PATIENT_S = 60.0


def sqlalchemy_url(conninfo: str) -> str:
    """Return a libpq URL (`postgresql://…`) in SQLAlchemy's spelling, with the psycopg 3 driver."""
    return conninfo.replace("postgresql://", "postgresql+psycopg://", 1)


class PatientConnection(psycopg.AsyncConnection):
    """A connection to listen with, which wakes up when something comes.

    psycopg looks ten times a second whether a signal wants it to stop. In asyncio a task is cancelled instead, and
    those looks were a third of what an idle worker did.
    """

    async def wait(self, gen: PQGen[T], interval: float = PATIENT_S, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """Run a generator of psycopg's until it ends, or for `timeout` seconds."""
        return await super().wait(gen, max(interval, PATIENT_S), timeout)


class Database:
    """A pool of connections to the one PostgreSQL."""

    def __init__(self, conninfo: str, *, pool_size: int = 5) -> None:
        self._engine = create_async_engine(
            sqlalchemy_url(conninfo),
            poolclass=AsyncAdaptedQueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            connect_args={
                "connect_timeout": 5,
                "options": "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000",
            },
        )

        event.listen(self._engine.sync_engine, "checkout", _refuse_dead)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """Open a connection to read from, each statement for itself.

        A transaction at READ COMMITTED shows no more: each of its statements sees what was committed by then. It
        only costs two more ways to the database and back, BEGIN and COMMIT.
        """
        async with self._reading.connect() as conn:
            yield conn

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction; commit it at the end of the block, roll back on an exception."""
        async with self._engine.begin() as conn:
            yield conn

    async def close(self) -> None:
        """Return every connection."""
        await self._engine.dispose()


def _refuse_dead(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have SQLAlchemy's pool make a new connection for one that its server has left."""
    if _left(connection.driver_connection):
        raise DisconnectionError("the database has left")


async def still_there(connection: psycopg.AsyncConnection[Any]) -> None:
    """Have psycopg's pool make a new connection for one that its server has left. Raises OperationalError."""
    if _left(connection):
        raise psycopg.OperationalError("the database has left")


def _left(raw: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server has left a connection.

    Who leaves closes the socket, which then has something to read: seeing that needs no way there and back, as a
    ping does. Its last words may come before its end.
    """
    try:
        while not raw.closed and _readable(raw.fileno()):
            raw.pgconn.consume_input()
    except psycopg.Error:
        return True
    return raw.closed


def _readable(file: int) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))
