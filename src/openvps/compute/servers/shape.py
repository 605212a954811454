"""A server as the API shows it: one shape, the union of both dialects."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record

_GB = 10**9
_MIB = 1 << 20


class PlanPart(TypedDict):
    """The plan a server was promised; memory in MiB, storage in GB."""

    id: Annotated[int, Field(description="The plan's id.", examples=[1])]
    name: Annotated[str, Field(description="The plan's name.", examples=["Standard VPS"])]
    vcpus: Annotated[int, Field(description="Virtual CPUs.", examples=[2])]
    memory: Annotated[int, Field(description="Memory, in MiB.", examples=[4096])]
    storage: Annotated[int, Field(description="Disk, in GB.", examples=[80])]


class PlanDetail(PlanPart):
    """With the bandwidth, in GB a month."""

    bandwidth: Annotated[int, Field(description="Traffic included, in GB a month.", examples=[2048])]


class SystemPart(TypedDict):
    """A server's operating system."""

    id: Annotated[int, Field(description="The operating system's id.", examples=[5])]
    name: Annotated[str, Field(description="The operating system's name.", examples=["Ubuntu 22.04 LTS"])]


class _Common(TypedDict):
    id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    uuid: Annotated[
        str,
        Field(
            description="The server's UUID; either names it in a path.",
            examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"],
        ),
    ]
    name: Annotated[str, Field(description="The server's name.", examples=["web-server-01"])]
    hostname: Annotated[str, Field(description="The host name that it was given.", examples=["web01.example.com"])]
    status: Annotated[
        str,
        Field(
            description="`active`, `stopped`, `suspended` or `error`; on its way: `provisioning`, `starting`, "
            "`stopping`, `rebooting`, `resizing`, `restoring`, `rebuilding` or `deleting`.",
            examples=["active"],
        ),
    ]
    unreachable: Annotated[
        bool,
        Field(
            description="Whether its host doesn't answer us now: then what is shown is what was last known.",
            examples=[False],
        ),
    ]
    error: Annotated[
        str | None, Field(description="Why the last thing asked for failed; null where nothing did.", examples=[None])
    ]
    ip_address: Annotated[
        str | None, Field(description="The first IPv4 address; null until there is one.", examples=["203.0.113.10"])
    ]
    ipv4_addresses: Annotated[list[str], Field(description="All IPv4 addresses.", examples=[["203.0.113.10"]])]
    ipv6_addresses: Annotated[list[str], Field(description="All IPv6 addresses.", examples=[["2001:db8::1"]])]
    location: Annotated[str, Field(description="The location's code.", examples=["us-west"])]
    location_name: Annotated[str, Field(description="The location's name.", examples=["US West"])]
    plan_name: Annotated[str, Field(description="The plan's name.", examples=["Standard VPS"])]
    os: Annotated[SystemPart, Field(description="The operating system.")]
    os_name: Annotated[str, Field(description="The operating system's name.", examples=["Ubuntu 22.04 LTS"])]
    deployed: Annotated[bool, Field(description="Whether it has been ready for its first login.", examples=[True])]
    tags: Annotated[list[str], Field(description="Labels of your own.", examples=[["web", "env:prod"]])]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T14:30:00Z"])]
    updated_at: Annotated[str, Field(description="When it last changed, UTC.", examples=["2026-11-23T14:30:08Z"])]


class Summary(_Common):
    """A server in a list; times are UTC, and `location` is the location's code."""

    plan: Annotated[PlanPart, Field(description="What the server was promised.")]


class Created(Summary):
    """A server just ordered: it has no address yet."""

    backups_enabled: Annotated[bool, Field(description="Whether it is backed up every day.", examples=[True])]
    message: Annotated[
        str,
        Field(
            description="What happens now, and how long it usually takes.",
            examples=["Server is being provisioned. This usually takes less than 10 seconds."],
        ),
    ]


class ResourceUse(TypedDict):
    """What was measured last: percent of the plan's vCPUs, MiB, GB, and GB this month; null before the first time."""

    cpu_percent: Annotated[
        float | None,
        Field(
            description="CPU in use, in percent of the plan's; null before the first measurement.", examples=[23.5]
        ),
    ]
    memory_used: Annotated[
        int | None, Field(description="Memory in use, in MiB; null before the first measurement.", examples=[2048])
    ]
    disk_used: Annotated[
        float | None, Field(description="Disk in use, in GB; null before the first measurement.", examples=[35.0])
    ]
    bandwidth_used: Annotated[
        float | None,
        Field(description="Traffic of this month, in GB; null before the first measurement.", examples=[450.0]),
    ]


class Detail(_Common):
    """One server, with what it uses."""

    plan: Annotated[PlanDetail, Field(description="What the server was promised.")]
    ipv6_address: Annotated[
        str | None, Field(description="The first IPv6 address; null where there is none.", examples=["2001:db8::1"])
    ]
    backups_enabled: Annotated[bool, Field(description="Whether it is backed up every day.", examples=[True])]
    resource_usage: Annotated[ResourceUse, Field(description="What was measured last.")]


class PoweredServer(TypedDict):
    """The server a power request was for."""

    id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    name: Annotated[str, Field(description="The server's name.", examples=["web-server-01"])]
    status: Annotated[str, Field(description="What it is doing now.", examples=["starting"])]


class Power(TypedDict):
    """What the power endpoints answer at once; the server gets there by itself."""

    status: Annotated[str, Field(description="`success`: the server is on its way.", examples=["success"])]
    message: Annotated[str, Field(description="What happens now.", examples=["Server is starting"])]
    server: Annotated[PoweredServer, Field(description="The server that it happens to.")]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


class Resized(Power):
    """What a resize answers at once; `restart` announces one."""

    restart: Annotated[bool, Field(description="Whether the server is restarted for it.", examples=[False])]


class Password(Power):
    """The root password, shown in this answer only."""

    password: Annotated[
        str, Field(description="The new root password, shown in this answer only.", examples=["k7Rz-w2Qm-9xTb-h4Lp"])
    ]


def _common(row: Record) -> _Common:
    v4 = [ip for ip in row.addresses if ":" not in ip]
    v6 = [ip for ip in row.addresses if ":" in ip]
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "name": row.name,
        "hostname": row.hostname,
        "status": row.status,
        "unreachable": bool(row.unreachable),  # null: its cell was never seen
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
