"""The real api or worker, in a process that kills itself (SIGKILL) at a commit: nothing of it runs afterwards.

    python mortal.py worker 3 before _agree 7   # right before the third commit of `_agree` for server 7
    python mortal.py backups 1 after _end 9     # right after the first commit of `_end` for backup 9
    python mortal.py api 1 after any 0          # right after its first commit of a request, before the answer

Only commits of looks at the server or backup (of any, if 0) are counted, or of requests that write: so the same
number is the same moment, whatever watchers do beside. `any`: of whichever function.
"""

import inspect
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import openvps.accounts.route
import openvps.app
import openvps.worker
from openvps.accounts.transaction import Transaction
from openvps.compute.servers.context import Context
from openvps.core.db import Connection, Database
from openvps.ops import serve

COUNTED: ContextVar[bool] = ContextVar("counted", default=False)


class Mortal(Database):
    """A database whose process dies at one of its commits."""

    left = 0
    before = True
    place = "any"

    def __init__(self, conninfo: str, *, pool_size: int = 5) -> None:
        super().__init__(conninfo, pool_size=pool_size)
        plain = super().begin

        def begin() -> AbstractAsyncContextManager[Connection]:
            asked_by = inspect.stack(0)[1].function
            return self._dying(plain()) if COUNTED.get() and self.place in {"any", asked_by} else plain()

        self.__dict__["begin"] = begin

    @asynccontextmanager
    async def _dying(self, plain: AbstractAsyncContextManager[Connection]) -> AsyncGenerator[Connection]:
        async with plain as conn:
            yield conn
            Mortal.left -= 1
            if self.before:
                _strike()
        _strike()


def _strike() -> None:
    if Mortal.left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


class Counted(Transaction):
    """A request's transaction, whose commit is counted."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _counted():
            await super().__aexit__(kind, error, trace)

    async def connection(self) -> Connection:
        with _counted():
            return await super().connection()


class _counted:  # noqa: N801 -- used as a word
    def __enter__(self) -> None:
        self._token = COUNTED.set(True)

    def __exit__(self, *_error: object) -> None:
        COUNTED.reset(self._token)


def _counting(converge: Callable[..., Any], only: int) -> Callable[..., Any]:
    async def counting(context: Context, number: int) -> None:
        if only in {0, number}:
            with _counted():
                await converge(context, number)
        else:
            await converge(context, number)

    return counting


def main() -> int:
    """Run until the commit comes, or until told to end."""
    what, at, side, Mortal.place, only = sys.argv[1:]
    Mortal.left, Mortal.before = int(at), side == "before"
    if what == "worker":
        openvps.worker.Database = Mortal
        openvps.worker.converge = _counting(openvps.worker.converge, int(only))
        return openvps.worker.main()
    if what == "backups":
        openvps.worker.Database = Mortal
        openvps.worker.backups.converge = _counting(openvps.worker.backups.converge, int(only))
        return openvps.worker.main()
    openvps.app.Database = Mortal
    openvps.accounts.route.Transaction = Counted
    return serve.main()


if __name__ == "__main__":
    sys.exit(main())
