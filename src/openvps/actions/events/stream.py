"""Server-sent events: an answer that goes on until its client, its token or this process has an end."""

import asyncio

from fastapi import Response
from starlette.types import Receive, Scope, Send

from openvps.accounts.auth import Caller
from openvps.actions.events.feeds import Feeds
from openvps.actions.events.queries import Wanted

OPENING = b"retry: 2000\n\n"  # ms until a client comes again, with Last-Event-ID
SEND_S = 30.0  # who reads nothing for so long is gone


class Stream(Response):
    """The events of the caller's account after a number, or from now on."""

    media_type = "text/event-stream"

    def __init__(self, feeds: Feeds, caller: Caller, after: int | None, wanted: Wanted) -> None:
        self.status_code, self.background = 200, None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})  # without a length
        self._feeds, self._caller, self._after, self._wanted = feeds, caller, after, wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until somebody ends it. Raises TooMany before it begins."""
        async with self._feeds.open(self._caller) as reader:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["state"]["head"]:
                await send({"type": "http.response.body", "body": b""})
                return
            await send({"type": "http.response.body", "body": OPENING, "more_body": True})
            left = asyncio.create_task(_left(receive))
            left.add_done_callback(lambda _: reader.close())
            try:
                async for piece in reader.pieces(self._after, self._wanted):
                    async with asyncio.timeout(SEND_S):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            except TimeoutError:
                return
            finally:
                left.cancel()


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
