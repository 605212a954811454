"""A receiver of webhooks on this machine: real TLS, by a certificate made for it."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 30.0  # for what takes ms


@dataclass(frozen=True)
class Message:
    """What was received."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Message], Awaitable[bytes]]


async def ok(_message: Message) -> bytes:
    return answered(204)


def answered(status: int, text: str = "", *headers: str) -> bytes:
    """Return an answer's bytes."""
    more = "".join(f"{one}\r\n" for one in headers)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{more}\r\n{text}".encode()


@dataclass
class Receiver:
    """What came in, and how the next ones are answered."""

    url: str
    answer: Answer = ok
    got: list[Message] = field(default_factory=list[Message])
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
        except (ConnectionError, asyncio.IncompleteReadError):  # whoever called was killed before it had said all
            writer.close()
            return
        message = Message(head[0].split()[1], headers, body)
        self.got.append(message)
        self._came.set()
        with contextlib.suppress(ConnectionError):
            writer.write(await self.answer(message))
            await writer.drain()
            writer.close()

    async def has(self, number: int) -> list[Message]:
        """Return what came, when it is so many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.got) < number:
                self._came.clear()
                await self._came.wait()
        return self.got


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """Make a certificate that is its own authority; returns it and its key."""
    made, key = folder / "receiver.crt", folder / "receiver.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=receiver", "-days", "2", "-addext", f"subjectAltName={','.join(names)}"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@contextlib.asynccontextmanager
async def receiving(pair: tuple[Path, Path], host: str = "localhost") -> AsyncGenerator[Receiver]:
    """Receive on a port of its own."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    receiver = Receiver("")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    receiver.url = f"https://{host}:{server.sockets[0].getsockname()[1]}/hook?a=1"
    try:
        yield receiver
    finally:
        server.close()
