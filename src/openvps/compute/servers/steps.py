"""The steps to each goal of a server, in order: each makes one thing true, and raises Wait where it takes its time.

No step remembers: each looks first, so each may run twice, and a crash at any point needs no undo. A step touches the
engine or the database, never both; no transaction is held over a call to the engine.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from openvps.actions import queries as actions
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.servers import promise, queries, rows
from openvps.compute.servers.context import BUSY_S, COPIED_S, Context
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.readiness import add_keys, ready
from openvps.compute.servers.stored import OF_A_BACKUP
from openvps.core.clock import now
from openvps.core.db import Record
from openvps.engine.protocol import (
    RESTORING,
    Away,
    Busy,
    Engine,
    EngineError,
    ImageOfDisk,
    Machine,
    MachineSpec,
    Missing,
)
from openvps.ledger import queries as ledger
from openvps.ledger import rates

PASSWORD_S = 60.0  # a guest that answers neither yes nor no has had its time
MAX_LINUX_HOSTNAME = 64  # HOST_NAME_MAX


class Wait(Exception):
    """Not there yet: look again in `seconds`; `reached` is the step to come, where those before it are done."""

    def __init__(self, seconds: float = 0.0, reached: "Step | None" = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.reached = reached


class Failed(Exception):
    """It can't be made true; the text is for the customer."""


class Refused(Exception):
    """One action on the side can't be done; the server itself is as it was."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Sight:
    """One look: what is wanted, what is there, and who does something about it."""

    row: rows.Row
    cell: Record
    addresses: list[str]
    running: list[Record]  # actions under way
    machine: Machine | None
    engine: Engine
    context: Context

    @property
    def name(self) -> str:
        """The machine's name in the engine."""
        return machine_name(self.row.id)

    def since(self, kind: str) -> datetime | None:
        """When the running action of this kind began."""
        return next((one.created_at for one in self.running if one.kind == kind), None)


def spec(at: Sight) -> MachineSpec:
    """Return the machine that the row asks for."""
    row = at.row
    hostname = row.hostname if len(row.hostname) <= MAX_LINUX_HOSTNAME else row.hostname.partition(".")[0]
    return MachineSpec(
        name=at.name,
        image=row.image,
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        storage_gb=row.storage_gb,
        hostname=hostname,
        addresses=at.addresses,
        nic=f"{at.cell.nic_prefix}{row.id}",
        nic_parent=at.cell.nic_parent,
        authorized_keys=row.authorized_keys,
        nameservers=at.cell.nameservers,
        user_data=row.user_data,
        marks=at.machine.marks if at.machine else {"reboots": str(row.reboots), "attempts": str(row.attempts)},
    )


def _mark(machine: Machine, key: str) -> int:
    value = machine.marks.get(key, "0")
    return int(value) if value.isdecimal() else 0


async def ensure_machine(at: Sight) -> None:
    """The machine is there. One that a customer had in use and that is gone is never silently made anew.

    What an earlier attempt at making it has left is removed.
    """
    if at.machine is not None and at.row.ready_at is None and _mark(at.machine, "attempts") < at.row.attempts:
        await ensure_gone(at)
    if at.machine is not None:
        return
    if at.row.ready_at is not None:
        raise Failed("The server's disk is gone from its host. Restore a backup, or delete the server.")
    if at.row.restore_from is not None and at.row.restore_begun:
        # One that was made of a backup couldn't be started, and went: the next has yet to be given that disk.
        async with at.context.database.begin() as conn:
            await rows.restore_begins(conn, at.row.id, at.row.version, begins=False)
        raise Wait
    # One that is made of a backup is given that disk before it starts for the first time.
    starts = at.row.restore_from is None
    await at.engine.create(spec(at), start=starts)
    raise Wait(reached=ensure_ready if starts else None)


async def ensure_restored(at: Sight) -> None:
    """The machine has had as many restores as were asked for, and what it is comes from the row all the same.

    A restore is of a snapshot, or of the image: a rebuild. One mark is set before, and is gone once the engine is
    done: it is done once, however long it takes and whoever dies meanwhile. A snapshot puts the machine's config
    back too: what that brought is written over before anything starts.
    """
    if at.machine is None or _mark(at.machine, "restores") >= at.row.restores:
        return
    if at.row.restore_from is not None and at.row.restore_failure is not None:
        raise Failed(at.row.restore_failure)
    told = _mark(at.machine, RESTORING) == at.row.restores
    if at.row.restore_from is not None and (told or not at.row.restore_begun):
        if not at.row.restore_begun and at.row.restore_from.startswith(OF_A_BACKUP):
            await _copied(at, at.row.restore_from)
        if at.machine.status == "running":
            await _shut_down(at, since=at.since("server.restore") or at.since("server.rebuild"))
        if not told:
            await at.engine.mark(at.name, RESTORING, str(at.row.restores))
        elif not at.row.restore_begun:
            async with at.context.database.begin() as conn:
                await rows.restore_begins(conn, at.row.id, at.row.version)
        else:
            await _restore(at, at.row.restore_from)
        raise Wait
    await at.engine.renew(at.name, replace(spec(at), marks=_marks_of_the_row(at)))
    raise Wait


async def _copied(at: Sight, backup: str) -> ImageOfDisk:
    """Return the image of a backup, once the cell has it: until then the server goes on."""
    if (image := await at.engine.published(backup)) is None:
        raise Wait(COPIED_S)
    return image


async def _restore(at: Sight, source: str) -> None:
    try:
        if source == queries.THE_IMAGE:
            await at.engine.rebuild(at.name, at.row.image)
        elif source.startswith(OF_A_BACKUP):
            await at.engine.rebuild(at.name, (await _copied(at, source)).fingerprint)
        else:
            await at.engine.restore(at.name, source)
    except Missing as error:
        what = "image" if source == queries.THE_IMAGE else "snapshot"
        raise Failed(f"The {what} is gone from the server's host. The server's disk is as it was.") from error


def _marks_of_the_row(at: Sight) -> dict[str, str]:
    """Return what was done of what the row counts: the restored disk is past all of it."""
    marks = {"restores": at.row.restores, "reboots": at.row.reboots, "attempts": at.row.attempts}
    if at.since("server.reset_password") is None:
        marks["password_resets"] = at.row.password_resets
    return {name: str(count) for name, count in marks.items()}


async def ensure_hostname(at: Sight) -> None:
    """The machine has the row's host name; the guest takes it at its next boot."""
    wanted = spec(at)
    if at.machine is not None and at.machine.hostname != wanted.hostname:
        await at.engine.configure(at.name, wanted)
        raise Wait


async def ensure_size(at: Sight) -> None:
    """The machine has the row's CPUs and memory, and its disk at least; running or not, since growing is done live.

    A change that needs a restart raised `reboots`: then `ensure_rebooted` has stopped it before. A disk is never made
    smaller, also where a resize was put back.
    """
    if at.machine is None:
        return
    row, has = at.row, at.machine
    if (has.vcpus, has.memory_mib) != (row.vcpus, row.memory_mib) or has.storage_gb < row.storage_gb:
        await at.engine.configure(at.name, spec(at))
        raise Wait


async def ensure_rebooted(at: Sight) -> None:
    """As many reboots as were asked for: stopped, recorded, and then started by `ensure_running`.

    Recorded while it is off, so that a crash on either side neither forgets a reboot nor does it twice.
    """
    if at.machine is None or _mark(at.machine, "reboots") >= at.row.reboots:
        return
    if at.machine.status == "running":
        await _shut_down(at, since=at.since("server.reboot") or at.since(promise.RESIZE))
    await at.engine.mark(at.name, "reboots", str(at.row.reboots))
    raise Wait


async def ensure_running(at: Sight) -> None:
    """The machine runs. Until its first `active`, one that can't be started is made anew."""
    if at.machine is None or at.machine.status == "running":
        return
    try:
        await at.engine.start(at.name)
    except (Busy, Away):
        raise
    except EngineError:
        if at.row.ready_at is None:
            await at.engine.delete(at.name)
        raise
    raise Wait


async def ensure_ready(at: Sight) -> None:
    """Before the first `active` of a system: sshd answers at the server's own address, and the keys are in place.

    A login at that moment succeeds. Asked once a system only, so that who later closes port 22 breaks nothing.
    """
    if at.row.ready_at is not None and at.row.status != "rebuilding":
        return
    if at.row.restores and at.row.ready_at is None:  # made of a backup, with the keys of then
        await add_keys(at.engine, spec(at))
    if not await ready(at.engine, spec(at), near=at.cell.socket is not None):
        raise Wait(BUSY_S)


async def ensure_password(at: Sight) -> None:
    """Root's password is the one last asked for; only its hash travels."""
    if at.machine is None or at.row.password_hash is None:
        return
    if _mark(at.machine, "password_resets") >= at.row.password_resets:
        return
    since = at.since("server.reset_password")
    if since is not None and now() - since > timedelta(seconds=PASSWORD_S):
        raise Refused("server.reset_password", "The server's own system didn't take the new password in time.")
    line = f"root:{at.row.password_hash}\n".encode()
    if await at.engine.run(at.name, ["chpasswd", "--encrypted"], line) != 0:
        raise Refused("server.reset_password", "The server's own system refused the new password.")
    await at.engine.mark(at.name, "password_resets", str(at.row.password_resets))
    raise Wait


async def ensure_off(at: Sight) -> None:
    """The machine is off: shut down cleanly, after the grace time cut off; a failed create is cut off at once."""
    if at.machine is None or at.machine.status == "stopped":
        return
    if at.row.status == "error" and at.row.ready_at is None:
        await at.engine.kill(at.name)
        raise Wait
    await _shut_down(at, since=at.since("server.stop") or at.since("server.suspend"))


async def ensure_credit_released(at: Sight) -> None:
    """A failed create holds no credit and runs up no more charges: only now that the machine is off.

    The hours until then are charged: a customer who keeps it from getting ready has had it all the same.
    """
    if at.row.status != "error" or at.row.ready_at is not None:
        return
    async with at.context.database.begin() as conn:
        await rates.end(conn, at.row.id, await rates.lock(conn, at.row.account_id))
        await ledger.release(conn, f"server:{at.row.id}")


async def ensure_gone(at: Sight) -> None:
    """The machine with its disk is no more; power is cut, since nothing of it will be read again."""
    if at.machine is None:
        return
    if at.machine.status != "stopped":
        await at.engine.kill(at.name)
    await at.engine.delete(at.name)
    raise Wait


async def ensure_addresses_forgotten(at: Sight) -> None:
    """The hosts track no connection of the addresses that will be another's."""
    for address in at.addresses:
        await at.engine.forget_address(address)


async def ensure_row_gone(at: Sight) -> None:
    """Room, addresses and credit are given back, and the row is no more: one transaction."""
    row = at.row
    rests_until = now() + timedelta(seconds=at.context.settings.address_rest_s)
    async with at.context.database.begin() as conn:
        if not await rows.hold(conn, row.id):
            return  # another worker did all this
        await addresses.free(conn, row.id, rests_until=rests_until)
        kept_gb = await rows.room_of_snapshots(conn, row.id)
        await locations.give_back(conn, row.cell_id, Size(row.vcpus, row.memory_mib, row.storage_gb + kept_gb))
        await ledger.release(conn, f"server:{row.id}")
        await actions.finish(conn, [one.id for one in at.running], "completed")
        await rows.remove(conn, row.id)


async def _shut_down(at: Sight, since: datetime | None) -> None:
    """Shut a running machine down within the grace time, counted from when it was first told; raises Wait until off.

    `since`: when the action began, which may have waited for other things until now. Without an action there was no
    wish to be gentle: the machine runs although its row has it stopped.
    """
    grace_s, told_at = at.context.settings.stop_grace_s, at.row.stop_told_at
    if since is not None and told_at is None:
        async with at.context.database.begin() as conn:
            await rows.tell_to_stop(conn, at.row.id, at.row.version, now())
        raise Wait
    if since is None or told_at is None or now() - told_at > timedelta(seconds=grace_s):
        await at.engine.kill(at.name)
        raise Wait
    await at.engine.stop(at.name, grace_s)
    raise Wait(BUSY_S)


Step = Callable[[Sight], Awaitable[None]]

GOALS: dict[str, tuple[Step, ...]] = {
    "running": (
        ensure_machine,
        ensure_restored,
        ensure_hostname,
        ensure_rebooted,
        ensure_size,
        ensure_running,
        ensure_ready,
        ensure_password,
    ),
    "stopped": (ensure_off, ensure_restored, ensure_hostname, ensure_size, ensure_credit_released),
    "absent": (ensure_gone, ensure_addresses_forgotten, ensure_row_gone),
}
