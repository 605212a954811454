"""What is seen while something is waited for: its phase and the time so far, on standard error.

On a terminal it is one line that is written over; elsewhere a line for each phase. Ctrl-C ends the waiting, not what
is waited for, and the last line says how to go on.
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from openvps.cli.exits import INTERRUPTED, Stop, talk

CREATES = {"server.create", "server.retry"}
BOOTING_PERCENT = 60  # of the steps of a create: the machine runs from here on
PHASES = {
    "start": "starting",
    "stop": "stopping",
    "hard_stop": "stopping",
    "reboot": "rebooting",
    "delete": "deleting",
    "resize": "resizing",
    "rebuild": "rebuilding",
    "restore": "restoring",
    "create": "building",
}
SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_S = 0.1


def phase(seen: Any) -> str:
    """Return the phase of what was looked at: queued, building, booting, ready, or what the verb says."""
    kind: str = getattr(seen, "kind", "")
    status: str = seen.status
    if status == "completed":
        return "ready" if kind in CREATES else "done"
    if kind in CREATES and status == "running":
        return "booting" if seen.progress >= BOOTING_PERCENT else "building"
    if status == "running":
        return PHASES.get(kind.rpartition(".")[2], "under way")
    return {"provisioning": "building", "active": "ready", "in_progress": "under way"}.get(status, status)


class Progress:
    """Says how far one thing is; it is the client's `watch`."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.phase = "queued"
        self.seen = False  # before the first look nothing is known to have been begun
        self._began = time.monotonic()
        self._ended = Event()
        self._ticking = Thread(target=self._tick, daemon=True) if sys.stderr.isatty() else None

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """Begin to say it."""
        if self._ticking:
            self._ticking.start()

    def __call__(self, seen: Any) -> None:
        """Take note of a look."""
        now = phase(seen)
        if now != self.phase or not self.seen:
            self.phase, self.seen = now, True
            if not self._ticking:
                self._say()

    def end(self, last: str) -> None:
        """Say how it ended."""
        self._ended.set()
        if self._ticking:
            self._ticking.join()
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if self.seen and (self._ticking or last != self.phase):
            self.phase = last
            self._say()

    def _say(self) -> None:
        talk(f"{self.label}: {self.phase} ({self.elapsed_s:.1f} s)")

    def _tick(self) -> None:
        turn = 0
        while not self._ended.is_set():
            line = f"\r\x1b[K{SPIN[turn % len(SPIN)]} {self.label}: {self.phase} {self.elapsed_s:.1f} s"
            print(line, end="", file=sys.stderr, flush=True)
            turn += 1
            self._ended.wait(TICK_S)


@contextmanager
def waiting(label: str, follow: str, *, last: str = "done") -> Generator[Progress]:
    """Say how far it is while the body waits; `follow` is the command that goes on after Ctrl-C. Raises Stop."""
    progress = Progress(label)
    progress.begin()
    try:
        yield progress
    except KeyboardInterrupt:
        progress.end(f"still {progress.phase}")
        raise Stop(f"not waiting any more; it goes on. To see it: {follow}", INTERRUPTED) from None
    except BaseException:
        progress.end("failed" if progress.phase == "failed" else f"still {progress.phase}")
        raise
    progress.end(last)
