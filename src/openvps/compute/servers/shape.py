"""A server as the API shows it: one shape, the union of both dialects."""

from datetime import datetime

from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record

_GB = 10**9
_MIB = 1 << 20


class PlanPart(TypedDict):
    """The plan a server was promised; memory in MiB, storage in GB."""

    id: int
    name: str
    vcpus: int
    memory: int
    storage: int


class PlanDetail(PlanPart):
    """With the bandwidth, in GB a month."""

    bandwidth: int


class SystemPart(TypedDict):
    """A server's operating system."""

    id: int
    name: str


class _Common(TypedDict):
    id: int
    uuid: str
    name: str
    hostname: str
    status: str
    error: str | None
    ip_address: str | None
    ipv4_addresses: list[str]
    ipv6_addresses: list[str]
    location: str
    location_name: str
    plan_name: str
    os: SystemPart
    os_name: str
    deployed: bool
    tags: list[str]
    created_at: str
    updated_at: str


class Summary(_Common):
    """A server in a list; times are UTC, and `location` is the location's code."""

    plan: PlanPart


class Created(Summary):
    """A server just ordered: it has no address yet."""

    backups_enabled: bool
    message: str


class ResourceUse(TypedDict):
    """What was measured last: percent of the plan's vCPUs, MiB, GB, and GB this month; null before the first time."""

    cpu_percent: float | None
    memory_used: int | None
    disk_used: float | None
    bandwidth_used: float | None


class Detail(_Common):
    """One server, with what it uses."""

    plan: PlanDetail
    ipv6_address: str | None
    backups_enabled: bool
    resource_usage: ResourceUse


class PoweredServer(TypedDict):
    """The server a power request was for."""

    id: int
    name: str
    status: str


class Power(TypedDict):
    """What the power endpoints answer at once; the server gets there by itself."""

    status: str
    message: str
    server: PoweredServer
    action_id: int


class Resized(Power):
    """What a resize answers at once; `restart` announces one."""

    restart: bool


class Password(Power):
    """The root password, shown in this answer only."""

    password: str


def _common(row: Record) -> _Common:
    v4 = [ip for ip in row.addresses if ":" not in ip]
    v6 = [ip for ip in row.addresses if ":" in ip]
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "name": row.name,
        "hostname": row.hostname,
        "status": row.status,
        "error": row.error,
        "ip_address": v4[0] if v4 else None,
        "ipv4_addresses": v4,
        "ipv6_addresses": v6,
        "location": row.location,
        "location_name": row.location_name,
        "plan_name": row.plan_name,
        "os": {"id": row.system_id, "name": row.system_name},
        "os_name": row.system_name,
        "deployed": row.ready_at is not None,
        "tags": row.tags,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


def _plan(row: Record) -> PlanPart:
    return {
        "id": row.plan_id,
        "name": row.plan_name,
        "vcpus": row.vcpus,
        "memory": row.memory_mib,
        "storage": row.storage_gb,
    }


def summary(row: Record) -> Summary:
    """Return a server as it stands in the list."""
    return {**_common(row), "plan": _plan(row)}


def created(row: Record, message: str) -> Created:
    """Return a server as `POST /servers/` answers it: as the page has it, without an address yet."""
    return {
        **summary(row),
        "ip_address": None,
        "ipv4_addresses": [],
        "ipv6_addresses": [],
        "backups_enabled": row.backups_enabled,
        "message": message,
    }


def detail(row: Record, at: datetime) -> Detail:
    """Return a server with its usage; bandwidth is of the month of `at`."""
    common = _common(row)
    measured = row.cpu_percent is not None
    month_bytes = row.month_bytes if measured and row.month == f"{at:%Y-%m}" else 0
    return {
        **common,
        "plan": {**_plan(row), "bandwidth": row.bandwidth_gb},
        "ipv6_address": next(iter(common["ipv6_addresses"]), None),
        "backups_enabled": row.backups_enabled,
        "resource_usage": {
            "cpu_percent": round(float(row.cpu_percent), 1) if measured else None,
            "memory_used": round(row.memory_used_bytes / _MIB) if measured else None,
            "disk_used": round(row.disk_used_bytes / _GB, 3) if measured else None,
            "bandwidth_used": round(month_bytes / _GB, 6) if measured else None,
        },
    }


def power(row: Record, action_id: int, message: str) -> Power:
    """Return what the power endpoints answer."""
    return {
        "status": "success",
        "message": message,
        "server": {"id": row.id, "name": row.name, "status": row.status},
        "action_id": action_id,
    }
