"""Our long-running processes: started as their own user with nothing but what they need, ended in good order.

A child dies with its parent: setpriv sets the kernel's parent-death signal, so that even `kill -9` of `openvps up`
leaves nobody behind. It also drops root before the program starts.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_LIMIT_BYTES = 10_000_000
BACK_OFF_S = (1, 2, 4, 8, 16, 30)
STEADY_S = 60  # having run so long, the next end counts as the first


@dataclass(frozen=True)
class Program:
    """What to run, as whom. `groups` are names or numbers; `capabilities` as setpriv spells them (`net_admin`)."""

    name: str
    argv: Sequence[str]
    user: str
    groups: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10

    def command(self) -> list[str]:
        """Return the argument list that sheds root and then becomes the program."""
        kept = ",".join(["-all", *(f"+{one}" for one in self.capabilities)])
        return [
            "setpriv",
            f"--reuid={self.user}",
            f"--regid={self.user}",
            f"--groups={','.join([self.user, *self.groups])}",
            f"--inh-caps={kept}",
            f"--ambient-caps={kept}",
            f"--bounding-set={kept}",
            "--no-new-privs",
            f"--pdeathsig={self.stop_signal.name.removeprefix('SIG')}",
            "--",
            *self.argv,
        ]


class Child:
    """One program, running or to be started again; its output goes to `<folder>/<name>.log`."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.log = folder / f"{program.name}.log"
        self.ends = 0  # one after another, without a steady run between
        self.start_at = 0.0  # monotonic; when it may be started (again)
        self._started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; 0 if it was never started."""
        return self._process.pid if self._process else 0

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start it; what it says is appended to its log."""
        rotate(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.program.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": PATH, "HOME": "/nonexistent", "LANG": "C.UTF-8", **self.program.environment},
                start_new_session=True,  # a Ctrl-C of the terminal is for us alone; we end children in order
            )
        self._started_at = time.monotonic()

    def ended(self) -> float:
        """Note that it ended by itself and return the seconds to wait before it is started again."""
        now = time.monotonic()
        if now - self._started_at >= STEADY_S:
            self.ends = 0
        wait_s = BACK_OFF_S[min(self.ends, len(BACK_OFF_S) - 1)]
        self.ends += 1
        self.start_at = now + wait_s
        return wait_s

    def stop(self, *, hard: Callable[[], bool] = lambda: False) -> None:
        """Ask it to end, wait, and kill it if it takes too long or as soon as `hard` says so."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self.program.stop_signal)
        end = time.monotonic() + self.program.stop_s
        while time.monotonic() < end and not hard():
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return
        self._process.kill()
        self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        """Return the end of its log."""
        with self.log.open(errors="replace") as log:
            return "".join(deque(log, lines)).rstrip()


def rotate(log: Path) -> None:
    """Keep one older log beside a new one, once it has grown large; both are root's."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.rename(log.with_suffix(".log.1"))
    log.touch(mode=0o640)


def alive(pid: int) -> bool:
    """Return whether a process with this id exists and isn't merely waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def end(pid: int, first: signal.Signals, *, within_s: float) -> None:
    """End a process that is not our child: `first`, then SIGKILL."""
    for one, wait_s in ((first, within_s), (signal.SIGKILL, 10.0)):
        if not alive(pid):
            return
        os.kill(pid, one)
        deadline = time.monotonic() + wait_s
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
