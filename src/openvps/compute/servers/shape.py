"""A server as the API shows it: one shape, the union of both dialects."""

from datetime import datetime
from typing import Any

from openvps.core.clock import iso
from openvps.core.db import Record

_GB = 10**9
_MIB = 1 << 20


def summary(row: Record) -> dict[str, Any]:
    """Return a server as it stands in the list."""
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
        "plan": {
            "id": row.plan_id,
            "name": row.plan_name,
            "vcpus": row.vcpus,
            "memory": row.memory_mib,
            "storage": row.storage_gb,
        },
        "plan_name": row.plan_name,
        "os": {"id": row.system_id, "name": row.system_name},
        "os_name": row.system_name,
        "deployed": row.ready_at is not None,
        "tags": row.tags,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


def created(row: Record, message: str) -> dict[str, Any]:
    """Return a server as `POST /servers/` answers it: as the page has it, without an address yet."""
    return {
        **summary(row),
        "ip_address": None,
        "ipv4_addresses": [],
        "ipv6_addresses": [],
        "backups_enabled": row.backups_enabled,
        "message": message,
    }


def detail(row: Record, at: datetime) -> dict[str, Any]:
    """Return a server with its usage; bandwidth is of the month of `at`."""
    body = summary(row)
    body["plan"]["bandwidth"] = row.bandwidth_gb
    measured = row.cpu_percent is not None
    month_bytes = row.month_bytes if measured and row.month == f"{at:%Y-%m}" else 0
    return {
        **body,
        "ipv6_address": body["ipv6_addresses"][0] if body["ipv6_addresses"] else None,
        "backups_enabled": row.backups_enabled,
        "resource_usage": {
            "cpu_percent": round(float(row.cpu_percent), 1) if measured else None,
            "memory_used": round(row.memory_used_bytes / _MIB) if measured else None,
            "disk_used": round(row.disk_used_bytes / _GB, 3) if measured else None,
            "bandwidth_used": round(month_bytes / _GB, 6) if measured else None,
        },
    }


def power(row: Record, message: str) -> dict[str, Any]:
    """Return what the power endpoints answer."""
    return {
        "status": "success",
        "message": message,
        "server": {"id": row.id, "name": row.name, "status": row.status},
    }
