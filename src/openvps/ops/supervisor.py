"""Keeps our processes running, and ends them in order.

The list of children is the order they start in; they end the other way round, so that the database, which is first,
outlives those who write to it. A child that ends by itself is shown and started again, later each time.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType

from openvps.ops.processes import Child


class Interrupts:
    """SIGTERM, SIGINT and SIGHUP: the first ends what we do (KeyboardInterrupt), a later one makes us impatient."""

    def __init__(self) -> None:
        self.asked = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._asked)

    def impatient(self) -> bool:
        """Whether we were asked more than once."""
        return self.asked > 1

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1
        if self.asked == 1:
            raise KeyboardInterrupt


class Supervisor:
    """Our processes, in the order that they need each other."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._say = say

    def add(self, child: Child) -> None:
        """Take charge of a child, starting it unless it runs."""
        self.children.append(child)
        if not child.running:
            child.start()

    def watch(self) -> None:
        """Start again what ends, until interrupted."""
        while True:
            self._sleep()
            for child in self.children:
                if not child.running and child.start_at == 0:
                    wait_s = child.ended()
                    self._say(
                        f"{child.program.name} ended with code {child.code}; again in {wait_s:.0f} s. "
                        f"The end of {child.log}:\n{child.last_words()}"
                    )
                elif not child.running and time.monotonic() >= child.start_at:
                    child.start()
                    child.start_at = 0

    def stop(self, *, hard: Callable[[], bool]) -> None:
        """End all, the last started first."""
        for child in reversed(self.children):
            child.stop(hard=hard)

    def _sleep(self) -> None:
        """Wait until a running child ends or a waiting one is due."""
        due = [child.start_at for child in self.children if not child.running]
        timeout_s = max(0.0, min(due, default=3600.0 + time.monotonic()) - time.monotonic())
        watched = select.poll()
        handles: list[int] = []
        try:
            for child in self.children:
                if child.running:
                    handles.append(os.pidfd_open(child.pid))
                    watched.register(handles[-1], select.POLLIN)
            watched.poll(timeout_s * 1000)
        finally:
            for handle in handles:
                os.close(handle)
