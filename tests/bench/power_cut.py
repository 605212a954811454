"""The power goes: all of a lab is killed at once, servers too, and started again. Each server returns by itself.

No test, since it ends the lab's engine for everybody. What stays, unlike after a real cut, are mounts and memory.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from account import Account
from processes import PROC, listener, tree
from tables import say, table

import lab as whole

ACTIVE_S, BACK_S = 180, 300
RUN = 3
SSH = b"SSH-"


def run(lab: whole.Lab) -> bool:
    """Make servers, cut the power in the middle of a create, start again; returns whether all came back as wanted."""
    account = Account(lab)
    try:
        running = [account.create(f"runs-{number}") for number in range(RUN)]
        stopped = account.create("is-off")
        for one in (*running, stopped):
            account.until_active(one, ACTIVE_S)
        account.stop(stopped)
        half = account.create("half-made")
        killed = cut(lab)
        say(f"the power is gone: {killed} processes killed")
        began = time.monotonic()
        start(lab)
        rows = [("openvps up answers", f"{time.monotonic() - began:.1f}")]
        for one in (*running, half):
            account.until_active(one, BACK_S)
            until(lambda one=one: greets(account.get(one)["ip_address"]), BACK_S)
            name = "half made before" if one == half else f"server {one}"
            rows.append((f"{name} is active, and sshd greets", f"{time.monotonic() - began:.1f}"))
        off = account.get(stopped)
        assert off["status"] == "stopped", f"the stopped server is {off['status']}"
        assert not greets(off["ip_address"]), "the stopped server runs"
        rows.append(("the stopped server is off", f"{time.monotonic() - began:.1f}"))
        code = subprocess.run([program(), "audit"], env=environment(), check=False).returncode
        rows.append(("openvps audit's exit code", str(code)))
        say(f"After a power cut; load average {os.getloadavg()[0]:.2f}.\n")
        say(table(["seen", "seconds after the power is back"], rows))
    except (AssertionError, TimeoutError) as error:
        say(f"WRONG: {error}")
        return False
    else:
        return code == 0
    finally:
        account.clear()


def cut(lab: whole.Lab) -> int:
    """Kill `up` with its children, the engine, and every process of its servers; returns how many processes."""
    up = int((Path(os.environ[whole.STATE]) / "pid").read_text())
    ours = [up, *(one.pid for one in tree(up))]
    engine = listener(lab.socket)
    lxcfs = [pid for pid in pids() if lab.data_dir in command(pid) and "lxcfs" in command(pid)]
    killed = kill([*ours, engine, *lxcfs])  # nobody is left to notice that servers end
    while servers := [pid for pid in pids() if f"{lab.project}_vps-" in cgroup(pid) or monitors(lab, pid)]:
        killed += kill(servers)
        time.sleep(0.05)
    return killed


def monitors(lab: whole.Lab, pid: int) -> bool:
    """Whether a process is the parent of a server's first one."""
    return "[lxc monitor]" in command(pid) and lab.data_dir in command(pid)


def kill(found: list[int]) -> int:
    """Kill processes; returns how many there were."""
    count = 0
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        count += 1
    return count


def pids() -> list[int]:
    """Return all processes."""
    return [int(one.name) for one in PROC.glob("[0-9]*")]


def command(pid: int) -> str:
    """Return a process's arguments; empty if it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def cgroup(pid: int) -> str:
    """Return a process's control groups; empty if it is gone."""
    try:
        return (PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return ""


def program() -> str:
    """Return the command of this environment."""
    return str(Path(sys.executable).parent / "openvps")


def environment() -> dict[str, str]:
    """Return the settings of the lab."""
    state = Path(os.environ[whole.STATE])
    kept: dict[str, str] = json.loads((state / "env.json").read_text())
    return {**os.environ, "HOME": (state / "folder").read_text(), **kept}


def start(lab: whole.Lab) -> None:
    """Run `openvps up` again, and wait until its API answers."""
    state = Path(os.environ[whole.STATE])
    log = Path(lab.data_dir).parent / "up-again.log"
    with log.open("w") as out:
        going = subprocess.Popen(
            [program(), "up"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    (state / "pid").write_text(str(going.pid))

    def ready() -> bool:
        assert going.poll() is None, log.read_text()[-4000:]
        return "OpenVPS is ready" in log.read_text()

    until(ready, BACK_S)
    going.returncode = 0  # it goes on without us


def greets(address: str) -> bool:
    """Whether sshd greets at an address."""
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == SSH
    except OSError:
        return False


def until(look: Callable[[], bool], timeout_s: float) -> None:
    """Look again until it is so. Raises TimeoutError."""
    end = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > end:
            raise TimeoutError(f"not seen within {timeout_s} s")
        time.sleep(0.2)
