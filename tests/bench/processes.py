"""What our processes cost: CPU time and memory, read from /proc.

Memory is PSS, in which a page that several processes share counts once in all: the sum is what would be free
without us.
"""

import os
import socket
import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process at one moment."""

    pid: int
    kind: str  # api, worker, PostgreSQL, ...
    own_s: float  # CPU time of its own
    reaped_s: float  # and of its children that ended


def tree(root: int) -> list[Process]:
    """Return the descendants of `root`."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in PROC.glob("[0-9]*"):
        if stat := _stat(int(folder.name)):
            children[int(stat[1])].append(int(folder.name))
    found: list[Process] = []
    left = list(children[root])
    while left:
        pid = left.pop()
        left += children[pid]
        if process := of(pid):
            found.append(process)
    return found


def of(pid: int) -> Process | None:
    """Return a process, None if it is gone."""
    if (stat := _stat(pid)) is None:
        return None
    user, system, reaped_user, reaped_system = (int(one) / TICKS for one in stat[11:15])
    return Process(pid, _kind(pid), user + system, reaped_user + reaped_system)


def pss_mb(pid: int) -> float:
    """Return a process's share of memory in MB (10^6 bytes); 0 if it is gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")) / 1e6


def listener(path: str) -> int:
    """Return who listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", peer)[0]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat behind the name: state, parent, ... (proc(5))."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _kind(pid: int) -> str:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").strip("\0").split("\0")
    except OSError:
        return "gone"
    if words[0].startswith("postgres") or words[0].endswith("/postgres"):
        return "PostgreSQL"
    return words[-1] if "openvps" in words else Path(words[0]).name
