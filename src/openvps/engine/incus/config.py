"""Between our words and Incus's: a spec as config and devices, an instance as a `Machine`.

All of a machine's config comes from its spec, so that what a snapshot or backup brought back is written over;
only what the engine keeps for itself (`volatile.*`, `image.*`) and our marks stay.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from openvps.engine.protocol import RESTORING, Machine, MachineSpec

OURS = "user.openvps."
OF_DISK = "image.disk."  # Incus writes `image.*` anew with every disk
NOT_MARKS = {f"{OURS}{key}" for key in ("hostname", "authorized_keys", "nameservers")}
POWER = "volatile.last_state.power"
GB = 10**9
STATUS: dict[str, Literal["running", "stopped"]] = {"Running": "running", "Stopped": "stopped"}
UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": GB, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# A btrfs subvolume made inside a machine is outside its quota, and anyone may make one: without this a customer
# could fill the pool. The ioctls SNAP_CREATE, SUBVOL_CREATE, SNAP_CREATE_V2 and SUBVOL_CREATE_V2 fail with EPERM
# instead (numbers: linux/btrfs.h). Masked, because the kernel looks at the lower half of the argument only.
NO_SUBVOLUMES = "\n".join(
    f"ioctl errno 1 [1,{number:#x},SCMP_CMP_MASKED_EQ,0xffffffff]"
    for number in (0x50009401, 0x5000940E, 0x50009417, 0x50009418)
)


def config_of(spec: MachineSpec) -> dict[str, str]:
    """Return the instance config that `spec` wants."""
    wanted = {
        "limits.cpu": str(spec.vcpus),
        "limits.memory": f"{spec.memory_mib}MiB",
        "limits.memory.enforce": "hard",
        "limits.memory.swap": "false",
        "limits.processes": str(1024 * spec.vcpus),
        "security.idmap.isolated": "true",
        "security.privileged": "false",
        "security.nesting": "false",
        "security.syscalls.deny": NO_SUBVOLUMES,
        f"{OURS}hostname": spec.hostname,
        f"{OURS}authorized_keys": "\n".join(spec.authorized_keys),
        f"{OURS}nameservers": " ".join(spec.nameservers),
        "cloud-init.user-data": spec.user_data or "",
        **{mark_key(mark): value for mark, value in spec.marks.items()},
    }
    return {key: value for key, value in wanted.items() if value}


def devices_of(spec: MachineSpec, pool: str) -> dict[str, dict[str, str]]:
    """Return the root disk that `spec` wants, and the one NIC."""
    root = {"type": "disk", "path": "/", "pool": pool, "size": f"{spec.storage_gb}GB"}
    if not spec.nic:
        return {"root": root}
    nic = {"type": "nic", "nictype": "routed", "name": "eth0", "host_name": spec.nic}
    for family, is_v6 in (("ipv4.address", False), ("ipv6.address", True)):
        if mine := [address for address in spec.addresses if (":" in address) is is_v6]:
            nic[family] = ",".join(mine)
    if spec.nic_parent:
        nic["parent"] = spec.nic_parent
    return {"root": root, "eth0": nic}


def mark_key(mark: str) -> str:
    """Return the config key of one of our marks."""
    return (OF_DISK if mark == RESTORING else OURS) + mark


def marks_of(config: Mapping[str, str]) -> dict[str, str]:
    """Return our marks."""
    return {
        key.removeprefix(OURS).removeprefix(OF_DISK): value
        for key, value in config.items()
        if key.startswith((OURS, OF_DISK)) and key not in NOT_MARKS
    }


def kept(config: Mapping[str, str]) -> dict[str, str]:
    """Return what of a present config outlives a rewrite: the engine's own notes, and our marks."""
    return {
        key: value
        for key, value in config.items()
        if key.startswith(("volatile.", "image.")) or (key.startswith(OURS) and key not in NOT_MARKS)
    }


def outlives_a_restore(config: Mapping[str, str]) -> dict[str, str]:
    """Return what of a restored config belongs to the disk or the engine; that the machine ran then is forgotten."""
    kept = {key: value for key, value in config.items() if key.startswith(("volatile.", "image."))}
    return {**kept, POWER: "STOPPED"}


def size_bytes(text: str) -> int:
    """Read a size as Incus writes it; 0 if it can't be read."""
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text)
    return int(match[1]) * UNITS.get(match[2] or "B", 0) if match else 0


def plan_gb(root: Mapping[str, str]) -> int:
    """Return the plan's whole GB of a root disk; bytes above them are room given to start it full."""
    return size_bytes(root.get("size", "")) // GB


def ended_unnoted(instance: Mapping[str, Any]) -> bool:
    """Whether an instance is down while Incus's own note still says it runs."""
    return instance["status"] == "Stopped" and instance["config"].get(POWER) == "RUNNING"


def unsettled(cpus: str) -> str:
    """Return the same number of CPUs to Incus, and to `machine_of` one that isn't wanted: its writing goes on."""
    return f"0{cpus}"


def machine_of(instance: Mapping[str, Any]) -> Machine:
    """Return an instance's JSON as a Machine; with its disk use where the state came along."""
    config: dict[str, str] = instance["config"] or {}  # none while it is being deleted
    devices: dict[str, dict[str, str]] = instance["devices"] or {}
    cpus = config.get("limits.cpu", "")
    state: dict[str, Any] = instance.get("state") or {}
    disks: dict[str, dict[str, int]] = state.get("disk") or {}
    return Machine(
        name=instance["name"],
        status=STATUS.get(instance["status"], "other"),
        vcpus=int(cpus) if cpus.isdecimal() and not cpus.startswith("0") else 0,
        memory_mib=size_bytes(config.get("limits.memory", "")) >> 20,
        storage_gb=plan_gb(devices.get("root", {})),
        hostname=config.get(f"{OURS}hostname", ""),
        marks=marks_of(config),
        stopped_by_guest=config.get(POWER) == "STOPPED",
        disk_used_bytes=disks.get("root", {}).get("usage"),
    )
