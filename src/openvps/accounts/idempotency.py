"""`Idempotency-Key`: a POST that is repeated with its key is answered as the first time, and done once.

The answer is kept in the transaction of what was done, so no death of ours in between can make a second server:
before the commit nothing happened and the repetition does it; after it the repetition finds the answer. Only
successes are kept: a refusal did nothing, and what was wrong with it may have been mended. Of a body only the hash
is kept, and of a secret in an answer nothing: a replay leaves it out and says so.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from openvps.accounts.auth import Caller
from openvps.accounts.kept_answers import KEPT
from openvps.accounts.transaction import Transaction
from openvps.core.db import Connection
from openvps.core.errors import Conflict, InvalidFields
from openvps.schema import idempotency_key

MAX_KEY_LENGTH = 255
# Top-level fields of answers.
SHOWN_ONCE = ("password", "token", "invite", "secret", "ticket", "otpauth_url", "recovery_codes")
NOT_REPEATED = "shown once, in the first answer; a replay doesn't repeat it"


async def once(
    request: Request,
    transaction: Transaction,
    caller: Caller,
    handle: Callable[[Request], Awaitable[Response]],
) -> Response:
    """Answer as the first time, or for the first time. Raises Conflict, InvalidFields."""
    if key_of(request) is None:
        return await handle(request)
    conn = await transaction.connection()
    answer = await repeated(conn, request, caller.account_id)
    if answer is None:
        answer = await handle(request)
        await keep(conn, request, caller.account_id, answer)
    return answer


def key_of(request: Request) -> str | None:
    """Return the request's key. Raises InvalidFields for one that is none."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidFields({"Idempotency-Key": [f"1 to {MAX_KEY_LENGTH} printable ASCII characters."]})
    return key


async def repeated(conn: Connection, request: Request, account_id: int) -> Response | None:
    """Return the answer that the request had the first time. Raises Conflict, InvalidFields.

    None: this is the first, and until the transaction ends the only one.
    """
    if (key := key_of(request)) is None:
        return None
    if not await _lock(conn, account_id, key):
        raise Conflict(
            "The first request with this Idempotency-Key is still running. Repeat it in a moment.", retry_after_s=1
        )
    kept = (
        await conn.execute(
            select(idempotency_key.c.asked, idempotency_key.c.status, idempotency_key.c.answer).where(
                idempotency_key.c.account_id == account_id,
                idempotency_key.c.key == key,
                idempotency_key.c.created_at > func.now() - KEPT,
            )
        )
    ).one_or_none()
    if kept is None:
        return None
    if kept.asked != _asked(request):
        raise Conflict("This Idempotency-Key was used for another request. Use a new key for a new request.")
    return Response(
        kept.answer,
        kept.status,
        {"Idempotent-Replayed": "true"},
        media_type="application/json" if kept.answer else None,
    )


async def keep(conn: Connection, request: Request, account_id: int, answer: Response) -> None:
    """Keep the first answer, if the request has a key."""
    if (key := key_of(request)) is None:
        return
    body = _without_secrets(bytes(answer.body))
    values = {"asked": _asked(request), "status": answer.status_code, "answer": body}
    put = insert(idempotency_key).values(account_id=account_id, key=key, **values)
    await conn.execute(
        put.on_conflict_do_update(  # one that is over, but not yet forgotten
            index_elements=["account_id", "key"], set_={**values, "created_at": func.now()}
        )
    )


def _asked(request: Request) -> bytes:
    """Return the hash of what is asked: path, query and body."""
    digest = hashlib.sha256()
    for part in (request.url.path.encode(), request.url.query.encode(), request.state.raw):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


async def _lock(conn: Connection, account_id: int, key: str) -> bool:
    """Whether this request is the only one with the key now, until its transaction ends."""
    number = int.from_bytes(hashlib.sha256(f"{account_id}:{key}".encode()).digest()[:8], "big", signed=True)
    return (await conn.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one()


def _without_secrets(body: bytes) -> bytes:
    if not body:
        return body
    answer: dict[str, Any] = json.loads(body)
    hidden = [name for name in SHOWN_ONCE if isinstance(answer.get(name), str | list)]
    if not hidden:
        return body
    return json.dumps(answer | dict.fromkeys(hidden) | {"not_repeated": dict.fromkeys(hidden, NOT_REPEATED)}).encode()
