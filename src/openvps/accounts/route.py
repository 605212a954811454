"""The walk of every request that has a caller: body, token, rate limit, permission, idempotency key, handler, commit.

All of it happens in one transaction: the server, its action, its job, the audit entry and the answer that a repeated
`Idempotency-Key` gets are there together, or none of them is.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from openvps.accounts import idempotency
from openvps.accounts.auth import Guard, authenticate
from openvps.accounts.transaction import Transaction
from openvps.core.requests import read_body

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """A route for callers with a token. Its handler takes the caller from a `guard(...)`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.guard = _guard_of(self.dependant)

    def get_route_handler(self) -> Handler:
        """Return the handler, walked to as above."""
        handle = super().get_route_handler()

        async def walk(request: Request) -> Response:
            # Read before the transaction begins: a slow sender holds no connection of the pool.
            request.state.raw = await read_body(request)
            reading = request.method == "GET"  # which writes nothing, see accounts/rate_limit.py
            async with Transaction(request.app.state.database, reading=reading) as transaction:
                request.state.transaction = transaction
                request.state.caller = caller = await authenticate(request, await transaction.connection())
                request.app.state.rate_limit.take(caller.token_id, request.state.answer_headers)
                self.guard.check(caller)
                if request.method == "POST":
                    return await idempotency.once(request, transaction, caller, handle)
                return await handle(request)

        return walk


class Public(APIRoute):
    """A route that needs no token, and has no transaction until it begins one."""

    def get_route_handler(self) -> Handler:
        """Return the handler, with the body read."""
        handle = super().get_route_handler()

        async def walk(request: Request) -> Response:
            request.state.raw = await read_body(request)
            return await handle(request)

        return walk


def _guard_of(dependant: Dependant) -> Guard:
    """Return the guard among a route's dependencies. Raises TypeError where there is none."""
    for one in dependant.dependencies:
        if isinstance(one.call, Guard):
            return one.call
    raise TypeError(f"{dependant.path} has no guard: name its permission, or serve it by a plain APIRoute")
