"""An account's list of servers, answered from memory for as long as nothing in it changes.

Programs ask for the same list again and again. Before one that was kept is given out, one statement asks whether the
token is still good, and for the list's mark: a text that is another one as soon as a change of anything that a list
shows is committed, by whichever process. What was kept under the same mark is the same list.

The mark has the account's rows of `server_count`, each by what PostgreSQL never gives to two of them: triggers add
one with every change of what a list shows (migration 0025), and folding them makes others. It has the versions of
the few rows with names, and the cells that are silent now, which is a question of time.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
import sqlalchemy.exc
from sqlalchemy import ColumnElement, Text, func, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import aggregate_order_by
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openvps.accounts import tokens
from openvps.accounts.auth import SESSION, bearer
from openvps.accounts.queries import LIVE_TOKEN
from openvps.accounts.rate_limit import RateLimit
from openvps.compute.locations.queries import SILENT
from openvps.core import metrics
from openvps.core.clock import now
from openvps.core.db import Database
from openvps.core.errors import TooMany
from openvps.core.http.conditional import weak_tag
from openvps.schema import cell, location, plan, server_count, system, token

MOST_LISTS, MOST_BYTES = 1000, 16 << 20  # of one process
LONGEST_QUERY = 300  # bytes; who asks for more is rare

_OK = 200
_HEADS = {b"content-type", b"content-length"}  # of an answer; the others are made for each request

Key = tuple[bytes, bytes, str, bytes]


@dataclass(frozen=True)
class _List:
    """An answer, and what it was true under."""

    mark: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    route: Any


class KeptLists:
    """Answers `GET <path>` from memory where it can; all else is the application's.

    A list is kept when it is asked for a second time, and the one that was asked for least lately is dropped.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path
        self._lists: OrderedDict[Key, _List | None] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = self._key(scope)
        if key is None or key not in self._lists:
            if key is not None:
                self._keep(key, None)
            await self._app(scope, receive, send)
            return
        live = await _look(scope["app"].state.database, key[0])
        kept = self._lists.get(key)
        if live and kept and kept.mark == live.mark and _counted(scope, live.id):
            self._lists.move_to_end(key)
            metrics.KEPT_LISTS.inc()
            scope["route"] = kept.route
            await send({"type": "http.response.start", "status": _OK, "headers": list(kept.headers)})
            await send({"type": "http.response.body", "body": kept.body})
            return
        start: Message = {}

        async def keeping(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            elif live and start["status"] == _OK and not message.get("more_body"):
                body = message["body"]
                heads = [one for one in start["headers"] if one[0] in _HEADS]
                self._keep(key, _List(live.mark, [*heads, (b"etag", weak_tag(body))], body, scope.get("route")))
            await send(message)

        await self._app(scope, receive, keeping)

    def _key(self, scope: Scope) -> Key | None:
        """Return what an answer depends on beside the database; None for what isn't kept."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "GET" or SESSION in scope:
            return None
        if len(scope["query_string"]) > LONGEST_QUERY:
            return None
        headers = dict(scope["headers"])
        text = bearer(headers.get(b"authorization", b"").decode("latin-1"))
        if not tokens.well_formed(text):
            return None
        return tokens.digest(text), headers.get(b"host", b""), scope["scheme"], scope["query_string"]

    def _keep(self, key: Key, one: _List | None) -> None:
        before = self._lists.pop(key, None)
        self._lists[key] = one
        self._bytes += len(one.body if one else b"") - len(before.body if before else b"")
        while len(self._lists) > MOST_LISTS or self._bytes > MOST_BYTES:
            _, dropped = self._lists.popitem(last=False)
            self._bytes -= len(dropped.body) if dropped else 0


def _counted(scope: Scope, token_id: int) -> bool:
    """Count the request to the token's limit; False: it is over it, and the application says so."""
    limit: RateLimit = scope["app"].state.rate_limit
    headers = scope["state"]["answer_headers"]
    there = len(headers)
    try:
        limit.take(token_id, headers)
    except TooMany:
        del headers[there:]
        return False
    return True


class _Live(NamedTuple):
    """A token that may be used now: its id, and the mark of its account's list."""

    id: int
    mark: str


async def _look(database: Database, digest: bytes) -> _Live | None:
    """Return what a token's account has; None: the application is to say what is wrong."""
    try:
        async with database.read() as conn:
            raw: Any = (await conn.get_raw_connection()).driver_connection
            cursor = await raw.execute(_SQL, {**_FIXED, "digest": digest, "at": now()})
            row = await cursor.fetchone()
    except (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.TimeoutError):
        return None
    return _Live(*row) if row else None


def _versions(table: Any, *conditions: Any) -> ColumnElement[Any]:
    """Return an array that changes with each version of the table's rows: a version has a transaction and a place."""
    version = func.concat(literal_column(f"{table.name}.xmin"), literal_column(f"{table.name}.ctid"))
    versions = func.array_agg(aggregate_order_by(version, literal_column(f"{table.name}.ctid")))
    return select(versions).select_from(table).where(*conditions).scalar_subquery()


_SILENT = select(func.array_agg(aggregate_order_by(cell.c.id, cell.c.id)).cast(Text)).where(SILENT).scalar_subquery()
_PARTS = (
    token.c.account_id,
    token.c.permissions,
    _versions(server_count, server_count.c.account_id == token.c.account_id),
    *(_versions(table) for table in (location, plan, system)),
    _SILENT,
)
_MARK = func.md5(func.concat_ws(literal_column("'|'"), *_PARTS)).label("mark")
# Compiled here, once: to have SQLAlchemy find it in its cache each time took a tenth of the whole request.
_COMPILED = LIVE_TOKEN.with_only_columns(token.c.id, _MARK).compile(dialect=postgresql.psycopg.dialect())
_SQL, _FIXED = str(_COMPILED), _COMPILED.params
