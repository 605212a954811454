"""The engine: its daemon, lxcfs beside it, and where servers' disks are."""

import shutil
from typing import Any

from openvps.core.settings import Settings
from openvps.ops import btrfs_quota, incus_daemon, incus_project
from openvps.ops.doctor.finding import Finding
from openvps.ops.incus_rest import Incus
from openvps.ops.processes import PATH

GB = 10**9
OLDEST = (6, 0)  # the version that was tried


def daemon(config: Settings) -> Finding:
    """Ask the daemon for its version."""
    found = incus_daemon.find(config)
    if found is None:
        if shutil.which("incusd", path=f"{PATH}:{incus_daemon.PLACES}") is None:
            return Finding("engine", "fail", "Incus is not installed", "run script/up, or script/bootstrap")
        return Finding("engine", "warn", "Incus is installed and doesn't run", "`openvps up` starts it")
    with Incus(found.socket) as incus:
        version = str(incus.get("/1.0")["environment"]["server_version"])
    seen = f"Incus {version}, {'our own' if found.own else 'the system'}'s".replace("own's", "own")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return Finding("engine", "fail", seen, "6.0 is the oldest that works")
    return Finding("engine", "ok", seen)


def lxcfs(_config: Settings) -> Finding:
    """Look whether servers will see their own memory and CPUs, or the host's."""
    if incus_daemon.lxcfs_mounted():
        return Finding("lxcfs", "ok", f"mounted at {incus_daemon.LXCFS}")
    if shutil.which("lxcfs"):
        return Finding("lxcfs", "warn", "installed, not mounted", "`openvps up` mounts it before it starts Incus")
    return Finding("lxcfs", "warn", "not installed: servers see the host's memory and CPUs", "install lxcfs")


def storage(config: Settings) -> Finding:
    """Look at the pool: whether its driver holds disks to their size, and what is free."""
    found = incus_daemon.find(config)
    if found is None:
        return Finding("storage", "warn", f"{config.storage_driver} is wanted; the engine doesn't run")
    name = incus_project.pool_name(config)
    with Incus(found.socket) as incus:
        drivers = incus.get("/1.0")["environment"]["storage_supported_drivers"]
        pool: Any = incus.find(f"/1.0/storage-pools/{name}")
        space: Any = incus.get(f"/1.0/storage-pools/{name}/resources")["space"] if pool else None
    can = sorted(one["Name"] for one in drivers)
    if pool is None:
        ready = config.storage_driver in can
        advice = (
            "`openvps up` makes it" if ready else f"install {config.storage_driver}'s tools, or set another driver"
        )
        return Finding("storage", "warn" if ready else "fail", f"no pool {name}; possible: {', '.join(can)}", advice)
    free = (space["total"] - space["used"]) // GB
    seen = f"pool {name} ({pool['driver']}): {free} of {space['total'] // GB} GB free; possible: {', '.join(can)}"
    mount = found.socket.parent / "storage-pools" / name
    if pool["driver"] == "btrfs" and mount.exists() and btrfs_quota.inconsistent(mount):
        return Finding("storage", "fail", f"{seen}; btrfs lost count of its quotas", "`openvps up` has it count anew")
    if pool["driver"] == "dir":
        return Finding("storage", "warn", seen, "dir holds no server to its disk size: use btrfs, zfs or lvm")
    if free < config.reserve_disk_gb:
        return Finding("storage", "fail", seen, "the pool is full: delete servers or images, or enlarge it")
    return Finding("storage", "ok", seen)
