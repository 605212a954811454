"""What a create or a resize names, looked up: the two dialects become one here.

Of each pair of names (`plan_id` and `plan`, `os_id` and `os_version`, `ssh_key_id` and `ssh_keys`) either will do,
with an integer or a UUID in it; both with different things in them is a mistake that is told.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from openvps.accounts.auth import Caller, Guard
from openvps.accounts.ssh_keys import queries as ssh_keys
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.plans import queries as plans
from openvps.compute.servers import queries
from openvps.compute.servers.fields import NewServer
from openvps.compute.systems import queries as systems
from openvps.core.db import Connection, Record
from openvps.core.requests import Body
from openvps.core.settings import Settings

REQUIRED = "This field is required."
T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """A server as it was asked for."""

    name: str
    hostname: str
    plan: Record
    system_id: int
    backup_id: int | None  # of which it is made; the system is that of then
    location_id: int
    cells: list[Record]  # that could hold it, roomiest first
    keys: list[str]


def size_of(plan: Record) -> Size:
    """Return what a server of this plan takes of a cell's room; a server's own row will do as well."""
    return Size(plan.vcpus, plan.memory_mib, plan.storage_gb)


async def look_up(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> Order:
    """Look up what the good fields name. Raises InvalidFields with all that is wrong or isn't there."""
    fields = body.fields
    hostname = fields.hostname if body.good("hostname") else None
    name = fields.name if body.good("name") else None
    if name is None and hostname:
        name = hostname.partition(".")[0]
    elif name is None and body.good("name"):
        body.wrong("name", REQUIRED)
    plan = await named_plan(conn, caller, body, settings, ("plan_id", "plan"))
    backup = await _backup(conn, caller, body, plan)
    of_a_backup = not body.good("backup_id") or body.fields.backup_id is not None
    system_id = (backup.system_id if backup else None) if of_a_backup else await named_system(conn, body)
    place = await _location(conn, body)
    keys = await _keys(conn, caller, body)
    cells: list[Record] = []
    if plan and place:
        cells = await locations.candidates(conn, place.id, plan)
        if not cells:
            body.wrong(
                said(body, "plan_id", "plan"), f"No host in {place.code} can hold this plan; see its `locations`."
            )
    body.check()
    if name is None or plan is None or system_id is None or place is None:
        raise LookupError("a field without a finding passed the check")
    backup_id = backup.id if backup else None
    return Order(name, hostname or name.lower(), plan, system_id, backup_id, place.id, cells, keys)


async def named_plan(
    conn: Connection, caller: Caller, body: Body[Any], settings: Settings, names: tuple[str, str]
) -> Record | None:
    """Return the plan that either field names, if the caller may have it; what is wrong is noted."""
    plan = await _either(conn, body, names, _plan)
    if plan and plan.kind == "container" and settings.container_plans == "operators" and not caller.is_operator:
        body.wrong(said(body, *names), "This plan shares the host's kernel and is offered to the operator only.")
        return None
    return plan


async def named_system(
    conn: Connection, body: Body[Any], names: tuple[str, str] = ("os_id", "os_version")
) -> int | None:
    """Return the id of the operating system that either field names; what is wrong is noted."""
    return await _either(conn, body, names, _system)


async def _plan(conn: Connection, reference: int | UUID) -> Record | str:
    return await plans.offered(conn, reference) or f"There is no plan {reference}; see GET /api/v1/plans/."


async def _system(conn: Connection, reference: int | UUID) -> int | str:
    found = await systems.version(conn, reference)
    return found or f"There is no operating system {reference}; see GET /api/v1/operating-systems/."


async def _backup(conn: Connection, caller: Caller, body: Body[NewServer], plan: Record | None) -> Record | None:
    """Return the backup that the server is to be made of, if one is named; what is wrong is noted."""
    fields = body.fields
    if not body.good("backup_id") or fields.backup_id is None:
        return None
    Guard("backups:read").check(caller)
    found = await queries.stored(conn, caller.account_id, fields.backup_id)
    for name in ("os_id", "os_version"):
        if body.good(name) and getattr(fields, name) is not None:
            body.wrong(name, "The operating system is the backup's own. Send one of the two.")
    if body.good("user_data") and fields.user_data is not None:
        body.wrong("user_data", "It is for a system's first boot, which the backup's has had.")
    if found is None:
        body.wrong("backup_id", f"There is no backup {fields.backup_id}; see GET /api/v1/backups/.")
    elif found.status != "completed" or found.system_id is None:
        body.wrong("backup_id", f"Only a completed backup can be restored; this one is {found.status}.")
    elif plan and plan.storage_gb * 10**9 < (found.size_bytes or 0):
        least = -(-(found.size_bytes or 0) // 10**9)
        body.wrong(said(body, "plan_id", "plan"), f"The backup's files need a disk of {least} GB at least.")
    return found


async def _location(conn: Connection, body: Body[NewServer]) -> Record | None:
    place = body.fields.location if body.good("location") else None
    if place is None:
        if body.good("location"):
            body.wrong("location", REQUIRED)
        return None
    found = await locations.active(conn, place)
    if found is None:
        body.wrong("location", f"There is no location {str(place)[:40]!r}; see GET /api/v1/locations/.")
    return found


async def _keys(conn: Connection, caller: Caller, body: Body[NewServer]) -> list[str]:
    """Return the lines of the named keys; none named means all of the account's."""
    if not (body.good("ssh_key_id") and body.good("ssh_keys")):
        return []
    one, several = body.fields.ssh_key_id, body.fields.ssh_keys
    if one is None and not several:
        return await ssh_keys.lines(conn, caller.account_id)
    named = {"ssh_key_id": [one] if one else [], "ssh_keys": several or []}
    found = await ssh_keys.named(conn, caller.account_id, [key for keys in named.values() for key in keys])
    for field, keys in named.items():
        for key in keys:
            if key not in found:
                body.wrong(field, f"The account has no SSH key {key}; see GET /api/v1/ssh-keys/.")
    if (
        one is not None
        and one in found
        and several
        and {found[one].id} != {found[key].id for key in several if key in found}
    ):
        body.wrong("ssh_keys", "`ssh_key_id` names another key. Send one of the two.")
    return list(dict.fromkeys(row.public_key for row in found.values()))


def said(body: Body[Any], *names: str) -> str:
    """Return the name that the customer used, the first one if none."""
    return next(
        (name for name in names if name in body.given and getattr(body.fields, name, None) is not None), names[0]
    )


async def _either(
    conn: Connection,
    body: Body[Any],
    names: tuple[str, str],
    look: Callable[[Connection, int | UUID], Awaitable[T | str]],
) -> T | None:
    """Return what one of two fields names, or both of them; `look` returns a text where there is nothing."""
    if not all(body.good(name) for name in names):
        return None
    found: list[T] = []
    references = {name: value for name in names if (value := getattr(body.fields, name)) is not None}
    for name, reference in references.items():
        thing = await look(conn, reference)
        if isinstance(thing, str):
            body.wrong(name, thing)
        else:
            found.append(thing)
    if not references:
        body.wrong(names[0], REQUIRED)
    if len(found) == len(names) and found[0] != found[1]:
        body.wrong(names[1], f"`{names[0]}` names another one. Send one of the two.")
    return found[0] if found else None
