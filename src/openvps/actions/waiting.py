"""Long polls: who asks with `?wait=<s>` is answered when it is done, or when the seconds are over.

A waiter holds no connection: it looks, commits, waits for word of a change (`changes.py`), and looks again. Word that
was lost costs `LOOK_S`, never an answer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from openvps.accounts.auth import authenticate
from openvps.accounts.transaction import Transaction
from openvps.actions.changes import Changes
from openvps.core.db import Connection
from openvps.core.errors import InvalidFields
from openvps.core.query import Parameter

MAX_WAIT_S = 60
LOOK_S = 5.0
WAIT = Parameter(
    "wait",
    "Answer when it is done, or after so many seconds at the latest.",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0},
)

T = TypeVar("T")


def seconds(request: Request) -> int:
    """Read `wait`: how many seconds the answer may take. Raises InvalidFields."""
    text = request.query_params.get("wait", "0")
    if not (text.isascii() and text.isdecimal() and int(text[:9]) <= MAX_WAIT_S):
        raise InvalidFields({"wait": [f"Whole seconds from 0 to {MAX_WAIT_S}."]})
    return int(text)


async def until(
    request: Request,
    transaction: Transaction,
    subject: str,
    look: Callable[[Connection], Awaitable[T]],
    done: Callable[[T], bool],
) -> T:
    """Return what `look` sees: at once, or with `?wait=` when it is `done` or the time is over.

    Raises what `look` raises, and Unauthenticated if the token was revoked meanwhile.
    """
    wait_s = seconds(request)
    if wait_s == 0:
        return await look(await transaction.connection())
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    changes: Changes = request.app.state.changes
    async with changes.of(subject) as changed:
        while True:
            changed.clear()
            found = await look(await transaction.connection())
            left = end - loop.time()
            if left <= 0 or done(found):
                return found
            await transaction.commit()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), min(left, LOOK_S))
            await authenticate(request, await transaction.connection())
