"""The login that both sides wait for: sshd's greeting, asked for every 20 ms, then one real login with a key."""

import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02
CONNECT_S, GREET_S, GIVE_UP_S = 0.2, 5.0, 180.0
OPTIONS = (
    *("-o", "BatchMode=yes"),
    *("-o", "StrictHostKeyChecking=no"),
    *("-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "LogLevel=ERROR"),
    *("-o", "ConnectTimeout=5"),
)


@dataclass(frozen=True)
class LoggedIn:
    """When sshd first greeted, and when `true` had been run in a login; seconds since the epoch."""

    greeted: float
    done: float
    tries: int


def log_in(address: str, key: Path) -> LoggedIn:
    """Wait until a login at `address` succeeds. Raises TimeoutError."""
    end = time.monotonic() + GIVE_UP_S
    while not _greets(address):
        _pause(address, end)
    greeted, tries = time.time(), 1
    while not _enters(address, key):
        _pause(address, end)
        tries += 1
    return LoggedIn(greeted, time.time(), tries)


def _greets(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, 22), timeout=CONNECT_S) as connection:
        connection.settimeout(GREET_S)
        return connection.recv(4) == b"SSH-"
    return False


def _enters(address: str, key: Path) -> bool:
    argv = ["ssh", "-F", "none", "-i", str(key), *OPTIONS, f"root@{address}", "true"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIVE_UP_S, check=False)
    return done.returncode == 0


def _pause(address: str, end: float) -> None:
    if time.monotonic() > end:
        raise TimeoutError(f"no login at {address}")
    time.sleep(POLL_S)
