"""A cell beside its rows: what is in the engine and nobody's, and what a row names and isn't there.

The rows are read before and after the engine: what is in either is somebody's, and only what rests in both is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from openvps.compute.consistency import queries
from openvps.compute.consistency.findings import DIFFERS, MISSING, ORPHAN, Finding
from openvps.compute.servers.names import machine_name, server_id
from openvps.compute.servers.stored import OF_A_BACKUP
from openvps.compute.snapshots.wake import engine_name
from openvps.core.db import Database, Record
from openvps.engine.protocol import Engine, Inventory

DELETE = "delete it, with its disk"
RECOVER = "incus admin recover on its host makes one"


@dataclass(frozen=True)
class Rows:
    """What the database says of a cell, at one moment."""

    servers: dict[int, queries.ServerRow]
    snapshots: dict[tuple[str, str], bool]  # machine and name, and whether it must be there now
    backups: frozenset[int]  # that may need something in the engine
    images: dict[str, bool]
    last_number: int
    never_given: Sequence[tuple[int, int]]


async def rows_of(database: Database, cell_id: int) -> Rows:
    """Read the rows of a cell."""
    async with database.begin() as conn:
        kept = await queries.cell_snapshots(conn, cell_id)
        return Rows(
            servers=await queries.cell_servers(conn, cell_id),
            snapshots={(machine_name(one.server_id), engine_name(one.id)): one.kept for one in kept},
            backups=await queries.backups_at_work(conn),
            images=await queries.cell_images(conn, cell_id),
            last_number=await queries.last_server_number(conn),
            never_given=await queries.never_given(conn),
        )


async def look_at_cell(database: Database, cell: Record, engine: Engine) -> list[Finding]:
    """Compare a cell with its rows. Raises EngineError."""
    before = await rows_of(database, cell.id)
    inventory = await engine.inventory()
    return compare(cell, before, inventory, await rows_of(database, cell.id))


def compare(cell: Record, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    """Return what engine and rows disagree on."""
    here = _Here(cell.name, cell.id)
    return [
        *_machines(here, before, found, after),
        *_servers(here, before, found, after),
        *_snapshots(here, before, found, after),
        *_images(here, before, found, after),
        *_others(here, before, found, after),
    ]


@dataclass(frozen=True)
class _Here:
    """Makes findings of one cell."""

    cell: str
    cell_id: int

    def finds(self, kind: str, problem: str, subject: str, text: str, repair: str | None) -> Finding:
        return Finding(kind, problem, subject, text, repair, self.cell, self.cell_id)


def _at_work(name: str, before: Rows, after: Rows) -> bool:
    """Whether a backup that somebody works on may have something of this name in the engine."""
    _, _, number = name.rpartition("-")
    return number.isascii() and number.isdecimal() and int(number) in before.backups | after.backups


def _never_given(number: int, rows: Rows) -> bool:
    """Whether this database never gave a server that number: one to come, or one that was skipped."""
    return number > rows.last_number or any(first <= number <= last for first, last in rows.never_given)


def _machines(here: _Here, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    """Machines that are no server's. One with a number that this database never gave out is another database's."""
    findings: list[Finding] = []
    for name in sorted(found.addresses):
        number = server_id(name)
        if number in before.servers or number in after.servers:
            continue
        if number is None and name.startswith(("verify-", OF_A_BACKUP)) and _at_work(name, before, after):
            continue
        if number is not None and _never_given(number, after):
            text = f"{name} has a number that this database never gave out: was it put back to an older state?"
            findings.append(here.finds("machine", ORPHAN, name, text, None))
        else:
            findings.append(here.finds("machine", ORPHAN, name, f"{name} is no server's", DELETE))
    return findings


def _servers(here: _Here, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    """Servers at rest whose machine is gone, or has other addresses than theirs."""
    findings: list[Finding] = []
    for number, row in sorted(after.servers.items()):
        seen = before.servers.get(number)
        if seen is None or seen.version != row.version or not (seen.rests and row.rests and row.has_disk):
            continue
        name = machine_name(number)
        if name not in found.addresses and any(disk == name for _, disk in found.unrecorded):
            text = f"server {number} has no machine, but its disk is there, without a record: {RECOVER}"
            findings.append(here.finds("server", MISSING, str(number), text, None))
        elif name not in found.addresses:
            text = f"server {number} has no machine"
            findings.append(here.finds("server", MISSING, str(number), text, "have it end in error, with the reason"))
        elif found.addresses[name] != row.addresses and seen.addresses == row.addresses:
            has, wanted = (", ".join(sorted(one)) or "none" for one in (found.addresses[name], row.addresses))
            text = f"{name} has the addresses {has}, and should have {wanted}"
            findings.append(here.finds("address", DIFFERS, name, text, "give it those of its row"))
    return findings


def _snapshots(here: _Here, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    findings: list[Finding] = []
    for machine, name in sorted(found.snapshots):
        key = (machine, name)
        if key in before.snapshots or key in after.snapshots:
            continue
        if name.startswith(OF_A_BACKUP) and _at_work(name, before, after):
            continue
        if (number := server_id(machine)) is None or not (number in before.servers or number in after.servers):
            continue  # goes with its machine
        text = f"{machine} has a snapshot {name} that nobody asked for"
        findings.append(here.finds("snapshot", ORPHAN, f"{machine}/{name}", text, DELETE))
    for (machine, name), kept in sorted(after.snapshots.items()):
        if kept and before.snapshots.get((machine, name)) and (machine, name) not in found.snapshots:
            text = f"{machine} has no snapshot {name}"
            findings.append(here.finds("snapshot", MISSING, f"{machine}/{name}", text, "have it say that it failed"))
    return findings


def _images(here: _Here, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    findings: list[Finding] = []
    for one in found.images:
        known = one.fingerprint in before.images or one.fingerprint in after.images
        if known or (one.of_snapshot is not None and _at_work(one.of_snapshot, before, after)):
            continue
        what = f"was made of {one.of_snapshot}" if one.of_snapshot else "isn't offered"
        text = f"the image {one.fingerprint[:12]} {what}, and nobody needs it"
        findings.append(here.finds("image", ORPHAN, one.fingerprint, text, "delete it"))
    there = {one.fingerprint for one in found.images}
    for fingerprint, offered in after.images.items():
        if offered and before.images.get(fingerprint) and fingerprint not in there:
            text = f"the image {fingerprint[:12]} is offered and isn't there"
            findings.append(here.finds("image", MISSING, fingerprint, text, "retire it; build or copy it anew"))
    return findings


def _others(here: _Here, before: Rows, found: Inventory, after: Rows) -> list[Finding]:
    """Volumes and profiles: none is made by us, but the disks that machines have."""
    findings: list[Finding] = []
    for kind, name in sorted(found.volumes):
        number = server_id(name)
        if kind == "custom":
            text = f"the volume {name} is no server's"
            findings.append(here.finds("volume", ORPHAN, name, text, DELETE))
        elif name not in found.addresses and number not in before.servers and number not in after.servers:
            text = f"the disk {name} has no machine; the engine must be told: incus admin recover, then delete it"
            findings.append(here.finds("volume", ORPHAN, f"{kind}/{name}", text, None))
    for kind, name in sorted(found.unrecorded):
        if server_id(name) in before.servers or server_id(name) in after.servers:
            continue  # told of the server
        text = (
            f"the disk {name} is in the pool, and the engine has no record of it: {RECOVER}, then it can be deleted"
        )
        findings.append(here.finds("volume", ORPHAN, f"{kind}/{name}", text, None))
    if found.unsearched:
        text = f"the pool couldn't be searched for disks without a record: {found.unsearched}"
        findings.append(here.finds("volume", ORPHAN, found.unsearched, text, None))
    return findings + [
        here.finds("profile", ORPHAN, name, f"the profile {name} is used by nobody", "delete it")
        for name in sorted(found.profiles)
    ]
