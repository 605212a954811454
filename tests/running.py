"""Our processes as an installation runs them, on a test's own PostgreSQL and engine: to be killed at will."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_S = 60


@dataclass
class Running:
    """One process. What it says goes to `log`; it ends with us at the latest."""

    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> "Running":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *self.argv],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; minus the signal's number if one killed it; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def tend(self) -> None:
        """Start it again if it has ended, as whoever supervises it in an installation does."""
        if self.code is not None:
            self.start()

    def says(self, word: str, within_s: float = START_S) -> None:
        """Wait until it has said `word`."""
        began = time.monotonic()
        while word not in (said := self.log.read_text(errors="replace")):
            assert self.code is None, f"it ended with {self.code}:\n{said[-3000:]}"
            assert time.monotonic() - began < within_s, f"it didn't say {word}:\n{said[-3000:]}"
            time.sleep(0.02)

    def dies(self, within_s: float = START_S) -> None:
        """Wait until SIGKILL has ended it."""
        assert self._process is not None
        code = self._process.wait(within_s)
        assert code == -signal.SIGKILL, f"it ended with {code}:\n{self.log.read_text(errors='replace')[-3000:]}"

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self, within_s: float = 20) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def a_worker(log: Path, **environment: str) -> Running:
    """Return a started worker."""
    return Running([sys.executable, "-P", "-m", "openvps", "worker"], log, environment).start()


def an_api(log: Path, port: int, **environment: str) -> Running:
    """Return a started api that listens on loopback."""
    return Running([sys.executable, "-P", "-m", "openvps", "api"], log, listening(port, environment)).start()


def listening(port: int, environment: Mapping[str, str]) -> dict[str, str]:
    return {**environment, "OPENVPS_LISTEN": f"127.0.0.1:{port}"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(process: Running, port: int) -> None:
    """Wait until `process` takes connections."""
    began = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.code is None, process.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() - began < START_S, "it doesn't listen"
            time.sleep(0.05)
        else:
            return
