"""`/events/`: what happened, as a list and as a stream of server-sent events."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Tx
from openvps.actions.events import queries
from openvps.actions.events.feeds import PERMISSION
from openvps.actions.events.queries import Wanted
from openvps.actions.events.shape import KINDS, Event, shown
from openvps.actions.events.stream import Stream
from openvps.core.errors import InvalidFields
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import MAX_ID

router = APIRouter(tags=["events"], route_class=Route)

AFTER = Parameter(
    "after",
    "Only events after this number. A stream without it, and without `Last-Event-ID`, begins with what comes next.",
    {"type": "integer", "minimum": 0, "maximum": MAX_ID},
)
_ONE = f"({'|'.join(re.escape(kind) for kind in KINDS)})"
KIND = Parameter(
    "kind",
    "Only these kinds, separated by commas, like `server.status,action.failed`.",
    {"type": "string", "pattern": f"^{_ONE}(,{_ONE})*$"},
)
SERVER = Parameter(
    "server_id", "Only events about this server: its id.", {"type": "integer", "minimum": 0, "maximum": MAX_ID}
)
LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The number of the last event that a stream had: it goes on after that. Goes before `after`.",
    "schema": {"type": "integer", "minimum": 0},
}
STREAM = {
    "description": "OK; as a stream with `Accept: text/event-stream`",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'id: 4711\nevent: server.status\ndata: {"id":4711,"kind":"server.status","…":"…"}\n\n',
        }
    },
}


@router.get(
    "/events/",
    openapi_extra={"parameters": [*asks(AFTER, KIND, SERVER)["parameters"], LAST]},
    response_model=Listing[Event],
    responses={200: STREAM},
)
async def list_events(
    request: Request, caller: Annotated[Caller, guard(PERMISSION)], tx: Tx, at: Annotated[Page, Depends(page)]
) -> Listing[Event] | Response:
    """List what happened in your account, oldest first, or follow it as it happens."""
    streamed = Stream.media_type in request.headers.get("accept", "")
    after, wanted = _asked(request, streamed=streamed)
    if streamed:
        return Stream(request.app.state.feeds, caller, after, wanted)
    conn = await tx.connection()
    count, rows = await queries.page(conn, caller.account_id, after or 0, wanted, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


def _asked(request: Request, *, streamed: bool) -> tuple[int | None, Wanted]:
    """Read after which event, and which ones. Raises InvalidFields."""
    query, wrong = request.query_params, dict[str, list[str]]()
    last = request.headers.get("last-event-id") if streamed else None

    def number(name: str, text: str | None) -> int | None:
        if text is None or (text.isascii() and text.isdecimal() and int(text[:20]) <= MAX_ID):
            return None if text is None else int(text[:20])
        wrong[name] = ["A whole number, 0 or more."]
        return None

    after = number("Last-Event-ID", last) if last else number("after", query.get("after"))
    server_id = number("server_id", query.get("server_id"))
    kinds = frozenset(query["kind"].split(",")) if "kind" in query else frozenset[str]()
    if unknown := kinds - set(KINDS):
        wrong["kind"] = [f"There is no kind {min(unknown)[:80]!r}. Known: {', '.join(KINDS)}."]
    if wrong:
        raise InvalidFields(wrong)
    return after, Wanted(kinds, server_id)
