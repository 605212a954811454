"""The engine's daemon: the system's where there is one, else our own under the data folder.

Our own is detached from `openvps up` and outlives it: customers' servers need it (a reboot from inside is its work).
lxcfs runs before it, so that a server sees its own memory and CPUs.
"""

import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.incus_rest import Incus, IncusFailed
from openvps.ops.machine import NotReady
from openvps.ops.processes import PATH, end, rotate
from openvps.ops.run import ProgramFailed, run

SYSTEM_SOCKET = Path("/var/lib/incus/unix.socket")
SYSTEMD = Path("/run/systemd/system")  # there only where it runs (sd_booted(3))
ADMIN_GROUP = "incus-admin"  # members speak to the daemon, which is to be root: only the worker is one
PLACES = "/usr/libexec/incus:/usr/lib/incus:/opt/incus/bin"
LXCFS = Path("/var/lib/lxcfs")
START_S = 120
OPEN_FILES = 1 << 20  # as the system's own unit


@dataclass(frozen=True)
class Daemon:
    """An Incus daemon that answers; `own` if it is under our data folder."""

    socket: Path
    own: bool


def folder(settings: Settings) -> Path:
    """Return where our own daemon keeps everything."""
    return settings.data_dir / "incus"


def own_socket(settings: Settings) -> Path:
    """Return the socket of our own daemon."""
    return folder(settings) / "unix.socket"


def answers(socket: Path, timeout_s: float = START_S) -> bool:
    """Return whether a daemon answers; a socket that systemd listens on starts it."""
    if not socket.exists():
        return False
    try:
        with Incus(socket, timeout_s=timeout_s) as incus:
            return bool(incus.get("/1.0")["environment"]["server_version"])
    except IncusFailed:
        return False


def find(settings: Settings, *, timeout_s: float = START_S) -> Daemon | None:
    """Return the daemon that serves this installation, if it runs; starts nothing that is not systemd's."""
    if settings.incus_socket:
        found = Daemon(settings.incus_socket, own=False)
    elif folder(settings).exists():  # once our own, always our own: our servers are there
        found = Daemon(own_socket(settings), own=True)
    else:
        found = Daemon(SYSTEM_SOCKET, own=False)
    return found if answers(found.socket, timeout_s) else None


def systemds(settings: Settings) -> bool:
    """Return whether systemd starts the daemon that serves this installation, at boot too."""
    if settings.incus_socket not in {None, SYSTEM_SOCKET}:
        return False
    return (bool(settings.incus_socket) or not folder(settings).exists()) and SYSTEMD.is_dir()


def ensure(settings: Settings) -> Daemon:
    """Return a daemon that answers, started if need be. Raises NotReady."""
    if found := find(settings):
        return found
    if settings.incus_socket:
        raise NotReady(f"no Incus daemon answers at {settings.incus_socket} (OPENVPS_INCUS_SOCKET)")
    if systemds(settings):
        return _start_systems()
    return _start_own(settings)


def lxcfs_mounted() -> bool:
    """Return whether lxcfs answers at its mount; what a killed one leaves behind doesn't (ENOTCONN)."""
    try:
        return LXCFS.is_mount()
    except OSError:
        return False


def ensure_lxcfs(settings: Settings) -> list[str]:
    """Mount lxcfs, detached, where nobody has yet; returns what to tell the operator if it can't be."""
    if lxcfs_mounted():
        return []
    with contextlib.suppress(ProgramFailed):  # nothing is mounted; else it is what a killed lxcfs left behind
        run(["umount", "--lazy", str(LXCFS)])
    LXCFS.mkdir(exist_ok=True)
    pidfile = settings.data_dir / "lxcfs.pid"
    run(["setsid", "--fork", *_quietly(settings, "lxcfs"), "lxcfs", f"--pidfile={pidfile}", str(LXCFS)])
    try:
        _until(lxcfs_mounted, f"see {settings.data_dir / 'log' / 'lxcfs.log'}", 5)
    except NotReady as error:
        return [f"lxcfs doesn't run, so servers see the host's memory and processors: {error}"]
    return []


def stop(settings: Settings) -> None:
    """Stop our own daemon with its servers, cleanly, and our own lxcfs; the next start takes servers up again."""
    if pid := own_pid(settings):
        with contextlib.suppress(ProgramFailed):  # then it is ended below
            run(["incus", "admin", "shutdown", "--timeout=90"], env=_environment(settings), timeout_s=120)
        end(pid, signal.SIGTERM, within_s=30)
    _stop_lxcfs(settings)


def own_pid(settings: Settings) -> int:
    """Return our own daemon's process id, 0 where it doesn't run."""
    mark = f"INCUS_DIR={folder(settings)}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            program = (process / "cmdline").read_bytes().split(b"\0")[0]  # a server's monitor calls itself otherwise
            if program.endswith(b"incusd") and mark in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
    return 0


def _stop_lxcfs(settings: Settings) -> None:
    """End lxcfs if it is ours."""
    pidfile = settings.data_dir / "lxcfs.pid"
    if not pidfile.exists():
        return
    with contextlib.suppress(OSError, ValueError):
        pid = int(pidfile.read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "lxcfs":
            end(pid, signal.SIGTERM, within_s=10)
    pidfile.unlink(missing_ok=True)


def _start_systems() -> Daemon:
    """Have systemd start the system's daemon."""
    try:
        run(["systemctl", "enable", "--now", "incus.service"], timeout_s=START_S)
    except ProgramFailed as error:
        raise NotReady(f"the system's Incus doesn't start: {error}; see journalctl -u incus") from error
    _until(lambda: answers(SYSTEM_SOCKET), "the system's Incus doesn't answer; see journalctl -u incus", START_S)
    return Daemon(SYSTEM_SOCKET, own=False)


def _start_own(settings: Settings) -> Daemon:
    program = shutil.which("incusd", path=f"{PATH}:{PLACES}")
    if program is None:
        raise NotReady("incusd is not installed; run script/bootstrap")
    folder(settings).mkdir(exist_ok=True)
    folder(settings).chmod(0o711)
    log = settings.data_dir / "log" / "incus.log"
    run(
        ["setsid", "--fork", *_quietly(settings, "incus"), program, "--group", ADMIN_GROUP],
        env=_environment(settings),
    )
    deadline = time.monotonic() + START_S
    while True:
        try:
            run([program, "waitready", "--timeout=2"], env=_environment(settings), timeout_s=10)
        except ProgramFailed as error:
            if not own_pid(settings) or time.monotonic() > deadline:
                raise NotReady(f"our Incus daemon doesn't start; {log} says:\n{log.read_text()[-2000:]}") from error
        else:
            return Daemon(own_socket(settings), own=True)


def _environment(settings: Settings) -> dict[str, str]:
    return {"INCUS_DIR": str(folder(settings)), "PATH": f"{PATH}:{PLACES}"}


def _quietly(settings: Settings, name: str) -> list[str]:
    """Return the words that run what follows with its output in a log, no input, and as many open files as it may."""
    log = settings.data_dir / "log" / f"{name}.log"
    rotate(log)
    script = f'log=$1; shift; ulimit -n {OPEN_FILES} || ulimit -n "$(ulimit -H -n)"; exec "$@"'
    return ["sh", "-c", f'exec </dev/null >>"$1" 2>&1; {script}', name, str(log)]


def _until(seen: Callable[[], bool], otherwise: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not seen():
        if time.monotonic() > deadline:
            raise NotReady(otherwise)
        time.sleep(0.05)
