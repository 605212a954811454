"""One `openvps up` a data folder: a lock that the kernel lets go of whatever happens, with our process id in it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from openvps.core.settings import Settings
from openvps.ops.machine import NotReady


def file(settings: Settings) -> Path:
    """Return the lock file; it also marks a folder as ours."""
    return settings.data_dir / "up.lock"


@contextmanager
def held(settings: Settings) -> Generator[None]:
    """Hold the lock. Raises NotReady where somebody else does."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with file(settings).open("a+") as lock:
        if not _take(lock):
            raise NotReady(f"OpenVPS already runs on {settings.data_dir} (process {holder(settings)}); openvps down")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def holder(settings: Settings) -> int:
    """Return the process id of who holds the lock, 0 if nobody does."""
    if not file(settings).exists():
        return 0
    with file(settings).open("r") as lock:
        return 0 if _take(lock) else int(lock.read() or 0)


def _take(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
