"""The database: one async engine a process, explicit transactions.

Callers write `async with database.begin() as conn:` and hand `conn` to the slices' queries. No
transaction is held over a call to the engine or to the network.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

Connection = AsyncConnection
Record = Row[*tuple[Any, ...]]  # a row of a query, read by its columns' names


def sqlalchemy_url(conninfo: str) -> str:
    """Return a libpq URL (`postgresql://…`) in SQLAlchemy's spelling, with the psycopg 3 driver."""
    return conninfo.replace("postgresql://", "postgresql+psycopg://", 1)


class Database:
    """A pool of connections to the one PostgreSQL."""

    def __init__(self, conninfo: str, *, pool_size: int = 5) -> None:
        self._engine = create_async_engine(
            sqlalchemy_url(conninfo),
            poolclass=AsyncAdaptedQueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=10,
            connect_args={
                "connect_timeout": 5,
                "options": "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=10000",
            },
        )

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction; commit it at the end of the block, roll back on an exception."""
        async with self._engine.begin() as conn:
            yield conn

    async def close(self) -> None:
        """Return every connection."""
        await self._engine.dispose()
