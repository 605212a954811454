"""A request's transaction: what a request reads and writes, it reads and writes in one.

Dependencies are coroutines also where they wait for nothing: FastAPI sends plain functions to a thread.
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, Self

from fastapi import Depends, Request

from openvps.core.db import Connection, Database


class Transaction:
    """Begun when first asked for, committed when the answer is ready, rolled back on an exception.

    One that only reads needs no BEGIN and no COMMIT: see `Database.read`.
    """

    def __init__(self, database: Database, *, reading: bool = False) -> None:
        self._open = database.read if reading else database.begin
        self._stack = AsyncExitStack()
        self._conn: Connection | None = None

    async def connection(self) -> Connection:
        """Return the transaction's connection."""
        if self._conn is None:
            self._conn = await self._stack.enter_async_context(self._open())
        return self._conn

    async def commit(self) -> None:
        """Commit now and give the connection back: before waiting, which must hold none."""
        self._conn = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)


async def _transaction(request: Request) -> Transaction:
    return request.state.transaction


Tx = Annotated[Transaction, Depends(_transaction)]


async def _connection(transaction: Tx) -> Connection:
    return await transaction.connection()


Conn = Annotated[Connection, Depends(_connection)]
