"""Making a server what its row wants: look at the machine, do the next thing, look again, until they agree.

No step remembers: each looks first, so each may run twice, and a crash at any point needs no undo. The same function
serves create, start, stop, reboot, rename, delete, repair after a crash and drift: they differ only in what the row
wants. A step touches the engine or the database, never both; no transaction is held over a call to the engine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from openvps.actions import queries as actions
from openvps.actions.endings import TOO_LONG
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.servers import promise, queries, queue
from openvps.compute.servers.gate import Gate
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.readiness import add_keys, ready
from openvps.compute.servers.states import SETTLED, goal, level, transition
from openvps.compute.servers.stored import OF_A_BACKUP
from openvps.core import log, metrics
from openvps.core.clock import now
from openvps.core.db import Database, Record
from openvps.core.settings import Settings
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

logger = log.get(__name__)

BUSY_S = 0.2  # between looks while the engine works
COPIED_S = 1.0  # between looks while a backup is copied
AWAY_S = 5.0  # between looks while the engine doesn't answer, or refuses
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
class Context:
    """What the worker lends to every look."""

    database: Database
    settings: Settings
    engines: Mapping[int, Engine]  # by cell
    gates: dict[int, Gate] = field(default_factory=dict[int, Gate])

    def gate(self, cell_id: int) -> Gate:
        """Return the gate to a cell."""
        return self.gates.setdefault(cell_id, Gate())


@dataclass(frozen=True)
class Sight:
    """One look: what is wanted, what is there, and who does something about it."""

    row: queries.Row
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


# the steps


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
            await queries.restore_begins(conn, at.row.id, at.row.version, begins=False)
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
                await queries.restore_begins(conn, at.row.id, at.row.version)
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
        if not await queries.hold(conn, row.id):
            return  # another worker did all this
        await addresses.free(conn, row.id, rests_until=rests_until)
        kept_gb = await queries.room_of_snapshots(conn, row.id)
        await locations.give_back(conn, row.cell_id, Size(row.vcpus, row.memory_mib, row.storage_gb + kept_gb))
        await ledger.release(conn, f"server:{row.id}")
        await actions.finish(conn, [one.id for one in at.running], "completed")
        await queries.remove(conn, row.id)


async def _shut_down(at: Sight, since: datetime | None) -> None:
    """Shut a running machine down within the grace time, counted from when it was first told; raises Wait until off.

    `since`: when the action began, which may have waited for other things until now. Without an action there was no
    wish to be gentle: the machine runs although its row has it stopped.
    """
    grace_s, told_at = at.context.settings.stop_grace_s, at.row.stop_told_at
    if since is not None and told_at is None:
        async with at.context.database.begin() as conn:
            await queries.tell_to_stop(conn, at.row.id, at.row.version, now())
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


async def converge(context: Context, server: int, *, patience_s: float = 30.0) -> None:
    """Make one server what its row wants, or leave word when to look again.

    Returns when they agree, when it failed for good, or when `patience_s` ran out: the row's `look_at` has the sweep
    come back, so nothing depends on this call.
    """
    started, progress = now(), 0
    while True:
        try:
            metrics.LOOKS.inc()
            wait_s, progress = await _look_once(context, server, progress)
        except Busy:
            wait_s = BUSY_S
        except EngineError as error:  # Away, or refused: perhaps better later, until the deadline
            metrics.ENGINE_FAILURES.labels(type(error).__name__).inc()
            logger.warning("engine_failed", server=server, error=str(error), kind=type(error).__name__)
            wait_s = AWAY_S
        if wait_s is None:
            return
        if wait_s >= AWAY_S or now() - started > timedelta(seconds=patience_s):
            async with context.database.begin() as conn:
                await queries.look_again(conn, server, now() + timedelta(seconds=wait_s))
            return
        await asyncio.sleep(wait_s)


async def _look_once(context: Context, server: int, progress: int) -> tuple[float | None, int]:
    """Look, and do the next thing.

    Returns the seconds until the next look, None when there is nothing more to do; and how far it is, in percent,
    which the next look notes.
    """
    async with context.database.begin() as conn:
        row = await queries.row(conn, server)
        if row is None or (_waits(row) and not _is_late(row)):
            await queue.wait(conn, server)
            return None, progress
        cell = await locations.cell_row(conn, row.cell_id)
        own = await addresses.of_server(conn, server)
        running = await actions.unfinished(conn, server)
        await actions.progressed(conn, running, progress)
    if await _ended(context, row, running):
        return 0, 0
    engine = context.engines.get(row.cell_id)
    if engine is None:
        raise Away(f"no engine for cell {row.cell_id}")
    steps = GOALS[goal(row.status, row.wanted)]
    try:
        async with context.gate(row.cell_id).place():
            # A create that nobody has begun has no machine to look for; if it had, the engine would say so.
            fresh = any(one.kind == "server.create" and one.started_at is None for one in running)
            machine = None if fresh else await engine.look(machine_name(server))
            sight = Sight(row, cell, own, running, machine, engine, context)
            for done, step in enumerate(steps):
                progress = 100 * done // len(steps)
                await step(sight)
    except Wait as wait:
        if wait.reached is not None:
            progress = 100 * steps.index(wait.reached) // len(steps)
        return wait.seconds, progress
    except (Failed, Refused) as end:
        await (
            _refuse(context, row, running, end)
            if isinstance(end, Refused)
            else _fail(context, row, running, str(end))
        )
        return 0, 0
    return (None if row.wanted == "absent" or await _agree(context, row, running) else 0), 0


async def _agree(context: Context, row: queries.Row, running: list[Record]) -> bool:
    """Settle the row and finish what brought it here; False if it wants something else by now."""
    way = next((found for one in running if (found := transition(one.kind))), None)
    status = way.done if way else row.status
    if status not in SETTLED:  # a resize, or its action was ended by hand: the level speaks for itself
        status = level(row.wanted)
    is_resized = any(one.kind == promise.RESIZE for one in running)
    async with context.database.begin() as conn:
        moment = await rates.lock(conn, row.account_id) if is_resized else None  # before the server's own lock
        if not await queries.settle(conn, row, status=status, at=now()):
            return False
        await promise.settle(conn, row.id, running)
        if moment is not None:
            await promise.charge(conn, row.id, moment)
        await actions.finish(conn, [one.id for one in running], "completed")
    logger.info("settled", server=row.id, status=status)
    await _next_in_turn(context, row)
    return True


def _is_late(row: queries.Row) -> bool:
    return row.deadline_at is not None and row.deadline_at <= now()


def _waits(row: queries.Row) -> bool:
    """Whether it is a create whose turn hasn't come."""
    return row.status == "provisioning" and row.admitted_at is None and row.wanted == "running"


async def _ended(context: Context, row: queries.Row, running: list[Record]) -> bool:
    """End what has taken too long, or what an operator wants ended; returns whether it was. No engine is asked."""
    if _is_late(row):
        await _fail(context, row, running, queue.GIVEN_UP if _waits(row) else TOO_LONG)
        return True
    cancelled = [one for one in running if one.cancelled_for is not None]
    if cancelled:
        await _cancel(context, row, cancelled)
    return bool(cancelled)


async def _next_in_turn(context: Context, row: queries.Row) -> None:
    """Have the next server made in the place of one that was, or wasn't."""
    if row.status == "provisioning":
        await queue.go_on(context.database, context.settings.creates_at_once, row.cell_id)


async def _cancel(context: Context, row: queries.Row, cancelled: list[Record]) -> None:
    """End what an operator wants ended: as if it had failed, with their reason."""
    if (exclusive := next((one for one in cancelled if one.exclusive), None)) is not None:
        await _fail(context, row, [exclusive], exclusive.cancelled_for, ended="cancelled")
        return
    async with context.database.begin() as conn:
        await queries.forget_password(conn, row.id)
        for one in cancelled:
            await actions.finish(conn, [one.id], "cancelled", one.cancelled_for)


async def _fail(
    context: Context, row: queries.Row, running: list[Record], reason: str, *, ended: str = "failed"
) -> None:
    """End in the named state of failure, with a reason; what is wanted from now on is made true next."""
    way = next((found for one in running if (found := transition(one.kind))), None)
    async with context.database.begin() as conn:
        wanted = (way.wanted_if_failed or row.wanted) if way else "stopped"
        status = (way.failed or level(wanted)) if way else "error"
        await rates.lock(conn, row.account_id)
        failed = await queries.fail(
            conn, row, status=status, wanted=wanted, error=reason if status == "error" else None, at=now()
        )
        if failed:
            await promise.put_back(conn, row.id, running, context.settings.hold_hours)
            await actions.finish(conn, [one.id for one in running], ended, reason)
    await _next_in_turn(context, row)
    logger.warning(ended, server=row.id, reason=reason, kinds=[one.kind for one in running])


async def _refuse(context: Context, row: queries.Row, running: list[Record], refusal: Refused) -> None:
    """Fail one action on the side, and no longer want what it asked for."""
    async with context.database.begin() as conn:
        await queries.forget_password(conn, row.id)
        await actions.finish(conn, [one.id for one in running if one.kind == refusal.kind], "failed", str(refusal))
    logger.warning("refused", server=row.id, kind=refusal.kind, reason=str(refusal))
