"""What a backup costs: beside a plain `incus export` of the same server, by its bytes the second time, and in memory.

In turns, on the same server with about 1 GB on its disk; before each first backup its data are written anew, so that
the store has nothing of them. An export is compressed by the engine's own default, as who types it gets it.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from account import Account
from login import log_in
from processes import tree
from tables import say, table

import lab as whole

MAX_RATIO, MAX_MOVED_MB, MAX_GROWN_MB = 1.2, 100, 32
DATA_MB, CHANGED_MB = 700, 10
ACTIVE_S, DONE_S = 120, 1800
POLL_S = 0.1
OURS, PLAIN, SECOND = "a first backup", "incus export", "a second backup"
PLAN = 101  # 3 GB


def run(lab: whole.Lab, *, rounds: int, proof: bool) -> bool:
    """Measure in turns and print; returns whether the targets are met."""
    account = Account(lab)
    worker = next(one.pid for one in tree(int(_state("pid"))) if one.kind == "worker")
    store = Path(lab.data_dir) / "backups" / "store"
    say(f"load at the start {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    try:
        server = account.create("bench-backup", plan_id=PLAN)
        account.until_active(server, ACTIVE_S)
        address = account.get(server)["ip_address"]
        log_in(address, lab.key)
        took: dict[str, list[float]] = {OURS: [], PLAIN: [], SECOND: []}
        moved: list[float] = []
        _back_up(account, server)  # not counted: the repository is made
        before = _most_mb(worker)
        for _ in range(rounds):
            _ssh(lab, address, f"head -c {DATA_MB}M /dev/urandom > /srv/data; sync")
            took[OURS].append(_back_up(account, server))
            took[PLAIN].append(_export(lab, server))
            _ssh(
                lab, address, f"dd if=/dev/urandom of=/srv/data bs=1M count={CHANGED_MB} seek=100 conv=notrunc; sync"
            )
            had = _size_mb(store)
            took[SECOND].append(_back_up(account, server))
            moved.append(_size_mb(store) - had)
        grown = _most_mb(worker) - before
        if proof:
            took["a proof"] = [_prove(account, server)]
    finally:
        account.clear()
    return _report(took, moved, grown)


def _report(took: Mapping[str, list[float]], moved: list[float], grown: float) -> bool:
    ratio = statistics.median(took[OURS]) / statistics.median(took[PLAIN])
    rows = [
        [name, str(len(each)), f"{min(each):.1f}", f"{statistics.median(each):.1f}"] for name, each in took.items()
    ]
    say(f"\nseconds, of a server with {DATA_MB} MB of random data beside its system\n")
    say(table(["", "n", "min", "median"], rows))
    met = ratio <= MAX_RATIO and max(moved) < MAX_MOVED_MB and grown < MAX_GROWN_MB
    say(f"\nratio of medians: {ratio:.2f} (at most {MAX_RATIO:g})")
    say(f"a second backup with {CHANGED_MB} MB changed moved {max(moved):.1f} MB (less than {MAX_MOVED_MB})")
    say(f"the worker's most memory grew by {grown:.1f} MB over all backups (less than {MAX_GROWN_MB})")
    say(f"targets: {'met' if met else 'MISSED'}")
    return met


def _back_up(account: Account, server: int) -> float:
    return _until_done(account, f"/servers/{server}/backup/")


def _prove(account: Account, server: int) -> float:
    [[newest]] = account.rows("SELECT max(id) FROM backup WHERE server_id = %s", server)
    return _until_done(account, f"/backups/{newest}/verify/")


def _until_done(account: Account, path: str) -> float:
    began = time.monotonic()
    action = account.post(path)["action_id"]
    while (shown := _action(account, action))[1] is None:
        if time.monotonic() - began > DONE_S:
            raise TimeoutError(path)
        time.sleep(POLL_S)
    if shown[0] != "completed":
        raise RuntimeError(f"{path}: {shown[2]}")
    return time.monotonic() - began


def _action(account: Account, number: int) -> Any:
    return account.rows("SELECT status, finished_at, error FROM action WHERE id = %s", number)[0]


def _export(lab: whole.Lab, server: int) -> float:
    env = {**os.environ, "INCUS_SOCKET": lab.socket}
    with tempfile.TemporaryDirectory(dir=Path(lab.data_dir).parent) as folder:
        began = time.monotonic()
        argv = ["incus", "export", f"vps-{server}", f"{folder}/export.tar.gz", "--project", lab.project, "--quiet"]
        subprocess.run(argv, env=env, check=True, stdin=subprocess.DEVNULL)
        return time.monotonic() - began


def _ssh(lab: whole.Lab, address: str, command: str) -> None:
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
    argv = ["ssh", "-i", str(lab.key), *(word for one in options for word in ("-o", one)), f"root@{address}", command]
    subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _most_mb(pid: int) -> float:
    """Return the most memory that a process has had at once."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def _state(name: str) -> str:
    return (Path(os.environ[whole.STATE]) / name).read_text()
