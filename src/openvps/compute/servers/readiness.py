"""Whether a login will succeed: sshd greets at the server's address (RFC 4253, 4.2), and the keys are in place.

The peer is a customer's server: at most a line is read, and nothing of it is believed but that it is there.
"""

import asyncio
import contextlib

from openvps.engine.protocol import Engine, MachineSpec, Missing

AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
SSH_PORT = 22
POLL_S = 0.02
PATIENCE_S = 4.0  # one look's share; a look must stay below 5 s
REMOTE_S = 1.0  # a remote cell's: either it is reached at once, or not from here

# Run in the server: whether anything listens on port 22 (hex 16), by the kernel's tables of sockets.
LISTENS = ("grep", "-qsE", ":0016 0+:0000 0A", "/proc/net/tcp", "/proc/net/tcp6")


# Run in the server: what it is given goes behind the keys that are there.
KEEP_KEYS = ("sh", "-c", "umask 077; mkdir -p /root/.ssh && cat >> /root/.ssh/authorized_keys")


async def add_keys(engine: Engine, machine: MachineSpec) -> None:
    """Have a running machine take the keys that it lacks. Raises EngineError."""
    if not await _placed(engine, machine):
        await engine.run(machine.name, KEEP_KEYS, "\n".join(["", *machine.authorized_keys, ""]).encode())


async def ready(engine: Engine, machine: MachineSpec, *, near: bool) -> bool:
    """Wait some seconds at most until a login on `machine` succeeds. Raises EngineError.

    `near`: it runs on this host. The engine wrote the keys before it started the machine, or failed to start it; only
    where a customer's cloud-init may have changed them since are they looked for: that costs the engine as much as
    the whole rest of a create.
    """
    answers = await _sshd_answers(engine, machine, near=near)
    return answers and (not machine.user_data or await _placed(engine, machine))


async def _sshd_answers(engine: Engine, machine: MachineSpec, *, near: bool) -> bool:
    """Whether sshd greets at the server's address; where no way leads there, whether it listens.

    Private addresses behind another host can't be reached from here, and needn't be: that the cell's own network
    carries the login is what `openvps host prepare` is for.
    """
    if near:
        return await greets(machine.addresses[0])
    return await greets(machine.addresses[0], patience_s=REMOTE_S) or await engine.run(machine.name, LISTENS) == 0


async def _placed(engine: Engine, machine: MachineSpec) -> bool:
    try:
        there = (await engine.read_file(machine.name, AUTHORIZED_KEYS)).decode(errors="replace")
    except Missing:
        return False
    return all(key in there for key in machine.authorized_keys)


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
