"""The installation's facts as Prometheus reads them. Every api process tells the same: take `max by (...)`."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from openvps.core.db import Database
from openvps.monitoring import queries

FRESH_S = 10.0  # several who scrape cost no more than one
BACKUPS_FRESH_S = 300.0  # it reads every backup

Labels = dict[str, str]

GAUGES = {  # every fact there is, and what it says
    "openvps_database_reachable": "Whether the database answered.",
    "openvps_cell_room": "What a cell has to give, by resource.",
    "openvps_cell_used": "What of it is given.",
    "openvps_cell_reachable": "Whether a cell answers.",
    "openvps_cell_seen_age_seconds": "How long ago a cell was last looked at.",
    "openvps_servers": "Servers by location and status.",
    "openvps_servers_overdue": "Servers that are past the deadline of what they are doing.",
    "openvps_action_oldest_seconds": "Age of the oldest unfinished action that changes a server.",
    "openvps_billing_lag_seconds": "How late the oldest hour is that should have been charged.",
    "openvps_jobs_waiting": "Jobs that no worker has taken yet, with those that wait for their time.",
    "openvps_jobs_running": "Jobs that workers are at.",
    "openvps_workers": "Workers with a heartbeat.",
    "openvps_watcher_age_seconds": "How long ago a watcher had its turn.",
    "openvps_webhook_deliveries_pending": "Deliveries that are still to be made.",
    "openvps_webhook_delivery_oldest_seconds": "Age of the oldest of them.",
    "openvps_webhooks_failing": "Enabled webhooks whose last delivery failed.",
    "openvps_backup_good_age_seconds": "Age of the newest good backup.",
    "openvps_backup_verified_age_seconds": "How long ago a backup was last proved.",
    "openvps_backups_failed": "Backups of the last day that failed.",
    "openvps_backups_not_proved": "Backups that could not be restored when that was tried.",
    "openvps_servers_without_backup": "Servers with daily backups and no good one for 30 hours.",
}
RESOURCES = ("vcpus", "memory_mib", "storage_gb")


@dataclass
class Facts:
    """Reads the facts, and keeps them for a moment."""

    database: Database
    _text: bytes = b""
    _read_at: float = -FRESH_S
    _backups: list[str] = field(default_factory=list[str])
    _backups_at: float = -BACKUPS_FRESH_S

    async def __call__(self) -> bytes:
        """Return them in Prometheus' form."""
        if time.monotonic() - self._read_at > FRESH_S:
            self._text = await self._read()
            self._read_at = time.monotonic()
        return self._text

    async def _read(self) -> bytes:
        async with self.database.read() as conn:
            cells, servers = await queries.cells(conn), await queries.servers(conn)
            work, jobs, watchers = await queries.work(conn), await queries.jobs(conn), await queries.watchers(conn)
            if time.monotonic() - self._backups_at > BACKUPS_FRESH_S:
                self._backups, self._backups_at = _of_backups(await queries.backups(conn)), time.monotonic()
        lines = _gauge("openvps_database_reachable", [({}, 1)])
        for kind in ("room", "used"):
            lines += _gauge(
                f"openvps_cell_{kind}",
                [
                    ({"cell": one.name, "location": one.code, "resource": of}, getattr(one, f"{kind}_{of}"))
                    for one in cells
                    for of in RESOURCES
                ],
            )
        lines += _gauge("openvps_cell_reachable", [({"cell": one.name}, int(not one.silent)) for one in cells])
        lines += _gauge("openvps_cell_seen_age_seconds", [({"cell": one.name}, one.seen_s) for one in cells])
        counted = [({"location": one.code, "status": one.status}, one.n) for one in servers]
        lines += _gauge("openvps_servers", counted)
        lines += _gauge("openvps_servers_overdue", [({}, work.overdue)])
        lines += _gauge("openvps_action_oldest_seconds", [({}, work.action_s or 0)])
        lines += _gauge("openvps_billing_lag_seconds", [({}, max(0, work.billing_s or 0))])
        lines += _gauge("openvps_jobs_waiting", [({}, jobs.waiting)])
        lines += _gauge("openvps_jobs_running", [({}, jobs.running)])
        lines += _gauge("openvps_workers", [({}, jobs.workers)])
        lines += _gauge("openvps_watcher_age_seconds", [({"watcher": one.name}, one.age_s) for one in watchers])
        lines += _gauge("openvps_webhook_deliveries_pending", [({}, work.deliveries)])
        lines += _gauge("openvps_webhook_delivery_oldest_seconds", [({}, work.delivery_s or 0)])
        lines += _gauge("openvps_webhooks_failing", [({}, work.webhooks_failing)])
        return ("\n".join([*lines, *self._backups]) + "\n").encode()


def _of_backups(row: queries.Record) -> list[str]:
    """Return the facts of backups; ages only where there is one."""
    ages = {"openvps_backup_good_age_seconds": row.good_s, "openvps_backup_verified_age_seconds": row.verified_s}
    lines = [line for name, age in ages.items() if age is not None for line in _gauge(name, [({}, age)])]
    lines += _gauge("openvps_backups_failed", [({}, row.failed)])
    lines += _gauge("openvps_backups_not_proved", [({}, row.not_proved)])
    return lines + _gauge("openvps_servers_without_backup", [({}, row.servers_without)])


def _gauge(name: str, values: Iterable[tuple[Labels, float | None]]) -> list[str]:
    lines = [f"# HELP {name} {GAUGES[name]}", f"# TYPE {name} gauge"]
    for labels, value in values:
        if value is not None:
            said = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
            lines.append(f"{name}{{{said}}} {float(value)!r}" if said else f"{name} {float(value)!r}")
    return lines


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
