"""Whether a server's sshd answers: connect to its address and read the greeting (RFC 4253, 4.2).

The peer is a customer's server: at most a line is read, and nothing of it is believed but that it is there.
"""

import asyncio
import contextlib

SSH_PORT = 22
POLL_S = 0.02
PATIENCE_S = 4.0  # one look's share; a look must stay below 5 s
REMOTE_S = 1.0  # a remote cell's: either it is reached at once, or not from here

# Run in the server: whether anything listens on port 22 (hex 16), by the kernel's tables of sockets.
LISTENS = ("grep", "-qsE", ":0016 0+:0000 0A", "/proc/net/tcp", "/proc/net/tcp6")


async def greets(address: str, *, patience_s: float = PATIENCE_S) -> bool:
    """Wait at most `patience_s` for sshd at `address`; True as soon as it greets."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while not await _greets_now(address):  # noqa: ASYNC110 -- what is waited for is another machine
                await asyncio.sleep(POLL_S)
            return True
    return False


async def _greets_now(address: str) -> bool:
    writer = None
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(address, SSH_PORT)
            return (await reader.read(4)) == b"SSH-"
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.transport.abort()
