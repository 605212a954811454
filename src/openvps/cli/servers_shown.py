"""How servers, actions and the rest are shown in tables."""

from openvps.cli.output import Table

SERVER = Table(
    {
        "id": lambda one: one.id,
        "name": lambda one: one.name,
        "hostname": lambda one: one.hostname,
        "status": lambda one: one.status,
        "address": lambda one: one.ip_address or next(iter(one.ipv6_addresses or []), None),
        "ipv6": lambda one: getattr(one, "ipv6_address", None) or next(iter(one.ipv6_addresses or []), None),
        "location": lambda one: one.location,
        "plan": lambda one: one.plan.name,
        "size": lambda one: f"{one.plan.vcpus} vCPU, {one.plan.memory} MiB, {one.plan.storage} GB",
        "system": lambda one: one.os.name,
        "backups": lambda one: getattr(one, "backups_enabled", None),
        "tags": lambda one: one.tags,
        "cpu": lambda one: _used(one, "cpu_percent", "%"),
        "memory_used": lambda one: _used(one, "memory_used", " MiB"),
        "disk_used": lambda one: _used(one, "disk_used", " GB"),
        "traffic": lambda one: _used(one, "bandwidth_used", " GB this month"),
        "error": lambda one: one.error,
        "created": lambda one: one.created_at,
    },
    ("id", "name", "status", "address", "plan", "system", "location"),
)
ACTION = Table(
    {
        "id": lambda one: one.id,
        "action": lambda one: one.kind,
        "status": lambda one: one.status,
        "progress": lambda one: f"{one.progress}%",
        "begun": lambda one: one.created_at,
        "ended": lambda one: one.finished_at,
        "reason": lambda one: one.error,
    },
    ("id", "action", "status", "progress", "begun", "ended", "reason"),
    lambda one: one.id,
)


def _used(one: object, name: str, unit: str) -> str | None:
    value = getattr(getattr(one, "resource_usage", None), name, None)
    return None if value is None else f"{value:g}{unit}"
