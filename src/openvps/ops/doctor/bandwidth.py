"""Limits of bandwidth, tried: packets are sent through one, in network namespaces of their own that go afterwards.

A kernel may lack a part (act_police was missing on one that was tried): there the engine's limit fails a server's
start.
"""

import os
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from openvps.core.settings import Settings
from openvps.ops.doctor.finding import Finding
from openvps.ops.run import ProgramFailed, run

LIMIT = 4_000_000  # bits a second
PORT = 9999
SPARE = 1.5  # what a burst may add within the second that is measured
_HOST, _SERVER = "192.0.2.1", "192.0.2.2"  # TEST-NET-1, in namespaces of nobody else

_COUNT = """
import socket, time
ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ears.bind(("", 9999)); ears.settimeout(5)
total = len(ears.recv(2000)); end = time.monotonic() + 1; ears.settimeout(0.2)
while time.monotonic() < end:
    try: total += len(ears.recv(2000))
    except TimeoutError: pass
print(total * 8)
"""
_SEND = """
import socket, sys, time
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for _ in range(20): mouth.sendto(bytes(1400), (sys.argv[1], 9999))
    time.sleep(0.005)
"""


@dataclass(frozen=True)
class Way:
    """One direction as the engine limits it, on the host's end of a server's interface."""

    name: str
    sender: int
    commands: Sequence[Sequence[str]]


WAYS = (
    Way(
        "to servers (htb)",
        0,
        (
            ("qdisc", "add", "dev", "end0", "root", "handle", "1:0", "htb", "default", "10"),
            ("class", "add", "dev", "end0", "parent", "1:0", "classid", "1:10", "htb", "rate", f"{LIMIT}bit"),
        ),
    ),
    Way(
        "from servers (police)",
        1,
        (
            ("qdisc", "add", "dev", "end0", "handle", "ffff:0", "ingress"),
            (
                *("filter", "add", "dev", "end0", "parent", "ffff:0", "protocol", "all", "u32", "match", "u32", "0"),
                *("0", "police", "rate", f"{LIMIT}bit", "burst", "100k", "mtu", "64kb", "drop"),
            ),
        ),
    ),
)


def limits(_config: Settings) -> Finding:
    """Say for each direction whether a limit holds."""
    results = {way.name: _try(way) for way in WAYS}
    seen = "; ".join(f"{name}: {result}" for name, result in results.items())
    if all(result.startswith("holds") for result in results.values()):
        return Finding("bandwidth limits", "ok", seen)
    return Finding("bandwidth limits", "warn", seen, "no limit can be promised there: use a kernel with that part")


def _try(way: Way) -> str:
    """Send through a limit for a second, and say what came of it."""
    with _two_ends() as ends:
        for command in way.commands:
            try:
                run(["tc", "-n", ends[0], *command])
            except ProgramFailed as error:
                return f"not possible ({error.stderr.strip().splitlines()[0][:80] if error.stderr else 'tc failed'})"
        receiver = ends[1 - way.sender]
        with ThreadPoolExecutor() as pool:
            counting = pool.submit(run, ["ip", "netns", "exec", receiver, sys.executable, "-c", _COUNT])
            target = _SERVER if way.sender == 0 else _HOST
            for _ in range(2):  # the first may come before there are ears
                run(["ip", "netns", "exec", ends[way.sender], sys.executable, "-c", _SEND, target])
            rate = int(counting.result())
    megabits = f"{rate / 1e6:.1f} of {LIMIT / 1e6:.0f} Mbit/s came through"
    return f"holds ({megabits})" if rate < LIMIT * SPARE else f"doesn't hold ({megabits})"


@contextmanager
def _two_ends() -> Generator[tuple[str, str]]:
    """Yield two namespaces with a wire between them."""
    names = (f"openvps-{os.getpid()}-0", f"openvps-{os.getpid()}-1")
    try:
        for name in names:
            run(["ip", "netns", "add", name])
        run(["ip", "-n", names[0], "link", "add", "end0", "type", "veth", "peer", "name", "end1", "netns", names[1]])
        for name, device, address in zip(names, ("end0", "end1"), (_HOST, _SERVER), strict=True):
            run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", device])
            run(["ip", "-n", name, "link", "set", device, "up"])
        yield names
    finally:
        for name in names:
            with suppress(ProgramFailed):
                run(["ip", "netns", "del", name])
