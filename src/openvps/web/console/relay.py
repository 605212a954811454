"""The websocket of a terminal: what a browser sends goes to the console process, and back.

The first message is JSON with the ticket. All that follow are what was typed, but for a text that says how large the
screen is, `{"size": [columns, rows]}`. The api knows nothing of the ticket, and the console process nothing of the
web.
"""

import asyncio
import contextlib
import json

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from openvps.compute.terminals import frames
from openvps.compute.terminals.api import PATH
from openvps.core import log

router = APIRouter()

MOST = 500  # of one api process, with or without a good ticket
SIZE = '{"size":'
REFUSED, ENDED, AWAY = 4403, 4000, 1013  # close codes: our own two, and "try again later"

logger = log.get(__name__)


class _Open:
    count = 0


@router.websocket(PATH)
async def terminal(websocket: WebSocket) -> None:
    """Carry a terminal between a browser and the console process."""
    if not _from_here(websocket) or _Open.count >= MOST:
        await websocket.close(REFUSED)
        return
    _Open.count += 1
    try:
        await websocket.accept()
        await _carry(websocket)
    finally:
        _Open.count -= 1


def _from_here(websocket: WebSocket) -> bool:
    """Whether it is from a page of ours, or from no browser: those always say where from."""
    origin = websocket.headers.get("origin")
    return origin is None or origin.partition("://")[2] == websocket.headers.get("host", "")


async def _carry(websocket: WebSocket) -> None:
    try:
        reader, writer = await asyncio.open_unix_connection(frames.socket_of(websocket.app.state.settings))
    except OSError as error:
        logger.warning("console_process_away", error=str(error))
        await _close(websocket, AWAY, "The terminals are starting. Try again in a moment.")
        return
    works = [asyncio.create_task(_in(websocket, writer)), asyncio.create_task(_out(websocket, reader))]
    try:
        await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in works:
            one.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _in(websocket: WebSocket, writer: asyncio.StreamWriter) -> None:
    kind: frames.Kind = "hello"
    with contextlib.suppress(WebSocketDisconnect, OSError):
        while True:
            message = await websocket.receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text") or ""
            content = message.get("bytes") or text.encode()
            await frames.write(writer, "size" if kind == "bytes" and text.startswith(SIZE) else kind, content)
            kind = "bytes"


async def _out(websocket: WebSocket, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(WebSocketDisconnect, OSError, RuntimeError):  # the browser has gone meanwhile
        while (frame := await frames.read(reader)) is not None:
            kind, content = frame
            if kind == "bytes":
                await websocket.send_bytes(content)
            elif kind == "open":
                await websocket.send_text(json.dumps({"open": True}))
            elif kind == "end":
                await _close(websocket, ENDED, content.decode(errors="replace"))
                return
        await _close(websocket, ENDED, "The terminal has ended.")


async def _close(websocket: WebSocket, code: int, why: str) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(json.dumps({"closed": why}))
        await websocket.close(code)
