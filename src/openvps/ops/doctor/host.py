"""The machine itself: disk, memory, ids, limits of the kernel, and its clock."""

import ctypes
import shutil
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.doctor.finding import Finding
from openvps.ops.machine import KERNEL_LIMITS, LEAST_SUBIDS, SUBIDS

GB = 10**9
LEAST_DISK_GB, GOOD_DISK_GB = 8, 40
LEAST_MEMORY_MIB, GOOD_MEMORY_MIB = 1500, 4000
IDS_A_SERVER = 65536
GOOD_PID_MAX = 4194304  # the kernel's own limit on 64 bits (PID_MAX_LIMIT)
_UNSYNCHRONISED = 5  # TIME_ERROR, adjtimex(2)
_TIMEX_BYTES = 512  # more than struct timex takes anywhere
_RANGE_FIELDS = 3  # user:first:count


def disk(config: Settings) -> Finding:
    """Look at the room where images, disks and the database are."""
    folder = next(one for one in (config.data_dir, *config.data_dir.resolve().parents) if one.exists())
    free = shutil.disk_usage(folder).free // GB
    seen = f"{free} GB free at {folder}"
    if free < LEAST_DISK_GB and not (config.data_dir / "incus").exists():
        return Finding("disk", "fail", seen, f"free {LEAST_DISK_GB} GB at least, or set OPENVPS_DATA_DIR elsewhere")
    if free < GOOD_DISK_GB:
        return Finding("disk", "warn", seen, "room for few servers: add a disk (OPENVPS_STORAGE_SOURCE)")
    return Finding("disk", "ok", seen)


def memory(config: Settings) -> Finding:
    """Look at the memory, and what of it servers may have."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    total = int(fields["MemTotal"].split()[0]) // 1024
    room = max(0, int((total - config.reserve_memory_mib) * config.memory_overcommit))
    seen = f"{total} MiB, of which servers may have {room}"
    if total < LEAST_MEMORY_MIB:
        return Finding("memory", "fail", seen, f"{LEAST_MEMORY_MIB} MiB is the least")
    return Finding("memory", "ok" if total >= GOOD_MEMORY_MIB else "warn", seen)


def subordinate_ids(_config: Settings, etc: Path = Path("/etc")) -> Finding:
    """Count the ids that root may hand to servers: each gets its own, so that none can touch another's files."""
    counts: list[int] = []
    for name in ("subuid", "subgid"):
        lines = (etc / name).read_text().split() if (etc / name).exists() else []
        ranges = [line.split(":") for line in lines if line.count(":") == _RANGE_FIELDS - 1]
        counts.append(max((int(count) for user, _, count in ranges if user in {"root", "0"}), default=0))
    seen = f"enough for {min(counts) // IDS_A_SERVER} servers"
    if min(counts) < LEAST_SUBIDS:
        advice = f"`openvps up` adds root:1000000:{SUBIDS} to /etc/subuid and /etc/subgid; restart Incus afterwards"
        return Finding("subordinate ids", "fail" if any(counts) else "warn", seen, advice)
    return Finding("subordinate ids", "ok", seen)


def kernel_limits(_config: Settings, sysctl: Path = Path("/proc/sys")) -> Finding:
    """Compare what many servers share with what they need."""
    low: dict[str, int] = {}
    for name, wanted in KERNEL_LIMITS.items():
        if (sysctl / name).exists() and int((sysctl / name).read_text()) < wanted:
            low[name.replace("/", ".")] = wanted
    if not low:
        return Finding("kernel limits", "ok", ", ".join(name.replace("/", ".") for name in KERNEL_LIMITS))
    return Finding("kernel limits", "warn", f"low: {', '.join(low)}", f"`openvps up` raises them: {_sysctl(low)}")


def processes(_config: Settings, sysctl: Path = Path("/proc/sys")) -> Finding:
    """Look at how many processes all servers together may have."""
    most = int((sysctl / "kernel/pid_max").read_text())
    seen = f"{most} at once on the whole machine"
    if most < GOOD_PID_MAX:
        return Finding("processes", "warn", seen, f"full at 1024 a vCPU: {_sysctl({'kernel.pid_max': GOOD_PID_MAX})}")
    return Finding("processes", "ok", seen)


def cgroups(_config: Settings) -> Finding:
    """Look at which version of control groups limits servers."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Finding("cgroups", "ok", "version 2")
    advice = "limits hold; version 2 is what Incus is made for: boot with systemd.unified_cgroup_hierarchy=1"
    return Finding("cgroups", "warn", "version 1", advice)


def clock(_config: Settings) -> Finding:
    """Ask the kernel whether somebody keeps its clock right; bills and TLS need it."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state in {-1, _UNSYNCHRONISED}:
        return Finding("clock", "warn", "nobody synchronises it", "install chrony or systemd-timesyncd")
    return Finding("clock", "ok", "synchronised")


def _sysctl(values: dict[str, int]) -> str:
    return "sysctl -w " + " ".join(f"{name}={value}" for name, value in values.items())
