"""Rows that contradict each other, whatever the engine has."""

from datetime import timedelta

from openvps.compute.consistency import queries
from openvps.compute.consistency.findings import DIFFERS, MISSING, ORPHAN, STUCK, Finding
from openvps.core.db import Connection, Database

LOOK = "have it looked at now"


async def look_at_rows(database: Database, address_rest_s: int) -> list[Finding]:
    """Return what the rows disagree on among themselves."""
    async with database.begin() as conn:
        return [
            *await _addresses(conn, timedelta(seconds=address_rest_s)),
            *await _money(conn),
            *await _actions(conn),
            *await _jobs(conn),
            *await _stuck(conn),
            *await _rooms(conn),
        ]


async def _addresses(conn: Connection, rest: timedelta) -> list[Finding]:
    found: list[Finding] = []
    for one in await queries.stray_addresses(conn, rest):
        has = one.server_id is not None
        text = f"server {one.server_id} has {one.ip} of another cell" if has else f"{one.ip} is kept for nobody"
        found.append(Finding("address", ORPHAN, one.ip, text, "free it", one.cell, one.cell_id))
    for one in await queries.without_address(conn):
        text = f"server {one.id} has no IPv4 address"
        found.append(Finding("address", MISSING, str(one.id), text, "give it one", one.cell, one.cell_id))
    return found


async def _money(conn: Connection) -> list[Finding]:
    return [
        *(
            Finding("hold", ORPHAN, one, f"credit is held for {one}, and it needs none", "release it")
            for one in await queries.stray_holds(conn)
        ),
        *(
            Finding("meter", ORPHAN, str(one), f"server {one} is gone and still charged for", "end its charges now")
            for one in await queries.stray_meters(conn)
        ),
        *(
            Finding("meter", MISSING, str(one), f"server {one} is there and nobody pays for it")
            for one in await queries.without_meter(conn)
        ),
    ]


async def _actions(conn: Connection) -> list[Finding]:
    found: list[Finding] = []
    for one in await queries.stray_actions(conn):
        what = f"{one.kind} of {one.subject_id} is unfinished"
        if one.gone:
            found.append(Finding("action", ORPHAN, str(one.id), f"{what}, and there is no such thing", "cancel it"))
        else:
            found.append(Finding("action", STUCK, str(one.id), f"{what}, and nobody is to look", LOOK))
    return found


async def _jobs(conn: Connection) -> list[Finding]:
    return [
        Finding(
            "job",
            ORPHAN,
            str(one.id),
            f"the job {one.task_name} of {one.subject or 'nothing'} is {one.status}, and nobody's",
            "delete it",
        )
        for one in await queries.stray_jobs(conn)
    ]


async def _stuck(conn: Connection) -> list[Finding]:
    return [
        *(
            Finding(
                "server",
                STUCK,
                str(one.id),
                f"server {one.id} is {one.status}, and nobody sees to its end",
                LOOK,
                one.cell,
            )
            for one in await queries.stuck_servers(conn)
        ),
        *(
            Finding(one.kind, STUCK, str(one.id), f"{one.kind} {one.id} is unfinished, and nobody is to look", LOOK)
            for one in await queries.stuck_copies(conn)
        ),
    ]


async def _rooms(conn: Connection) -> list[Finding]:
    found: list[Finding] = []
    for one in await queries.miscounted_rooms(conn):
        has = f"{one.used_vcpus} vCPUs, {one.used_memory_mib} MiB, {one.used_storage_gb} GB"
        text = f"{has} are counted as used; its servers take {one.vcpus}, {one.memory_mib}, {one.storage_gb}"
        found.append(Finding("room", DIFFERS, one.name, text, "count it anew", one.name, one.id))
    return found
