"""Two things that the engine leaves undone on its host: only for an engine on this machine, by CAP_NET_ADMIN."""

import asyncio

from openvps.engine.protocol import EngineError

DONE_S = 5.0


async def forget_connections(address: str) -> None:
    """Flush what connection tracking knows of an address."""
    for side in ("--orig-src", "--orig-dst"):
        argv = ("conntrack", "-D", "-f", "ipv6" if ":" in address else "ipv4", side, address)
        await _run(*argv, unless=" 0 flow entries")  # nothing to forget is an error to it


async def remove_interface(name: str) -> None:
    """Remove a network interface with its routes; absent already is success."""
    await _run("ip", "link", "delete", "dev", name, unless="Cannot find device")


async def _run(*argv: str, unless: str) -> None:
    """Run a program. Raises EngineError where it fails, `unless` it says this."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise EngineError(f"{argv[0]} isn't installed on this host") from error
    try:
        async with asyncio.timeout(DONE_S):
            _, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise EngineError(f"{argv[0]} did not end within {DONE_S} s") from error
    text = said.decode(errors="replace").strip()
    if process.returncode and unless not in f" {text}":
        raise EngineError(f"{' '.join(argv)}: {text}")
