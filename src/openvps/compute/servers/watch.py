"""Watchers: they compare, and then begin something; they repair nothing themselves.

Each is one turn of a loop that the worker keeps going. What an event tells is only a hint to look sooner: a look at
the whole cell finds the same, in one call, if the event was lost.
"""

import asyncio
from collections.abc import Mapping

from openvps.actions import queries as actions
from openvps.compute.locations import queries as locations
from openvps.compute.servers import counts, rows, sample
from openvps.compute.servers.context import Context
from openvps.compute.servers.names import server_id
from openvps.compute.usage import history
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.core.db import Record
from openvps.engine.protocol import BEGUN, Engine, Machine, Usage

logger = log.get(__name__)

ENDS = frozenset({"instance-shutdown", "instance-stopped"})  # of an instance, in the engine's words; of no reboot
# In a reboot from inside a machine is off for 0.16 s on an idle host (Incus 6.0.4: seen), and to the engine as if it
# had been shut down. Long enough for a host on which many start at once.
REBOOTS_S = 10.0


async def sweep(context: Context) -> int:
    """Add up the counts of servers, and defer converge for every one that is due; returns how many."""
    async with context.database.begin() as conn:
        await counts.add_up(conn)
    async with context.database.begin() as conn:
        due = await rows.due(conn, now())
        for server in sorted(due):
            await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server}", priority=jobs.SWEEP, server_id=server)
    return len(due)


async def look_at_cell(context: Context, cell_id: int) -> None:
    """Compare a whole cell with its rows, and take a sample of what its servers use: two calls of the engine.

    A third one where a server is off that should run: REBOOTS_S later it either runs again or was shut down.
    """
    engine = context.engines[cell_id]
    async with context.database.begin() as conn:
        settled = await rows.settled(conn, cell_id)
    machines = await _by_server(engine)
    began = now()
    usage = await engine.usage()
    ended = now()
    async with context.database.begin() as conn:
        await sample.one_reading(conn, cell_id)
        before = await sample.counters(conn, cell_id)
        samples = [
            sample.take(server, row, machines[server], usage.get(machines[server].name), ended)
            for server, row in before.items()
            if server in machines
            and _counts(machines[server], usage)
            and not sample.late(row.sampled_at, began, now())
        ]
        await sample.keep(conn, [latest for latest, _ in samples])
        await history.add(conn, ended, [one for _, one in samples])
        await locations.seen(conn, cell_id)  # last: creates in the cell wait for its row
    off: list[Record] = []
    for server, seen in settled.items():
        machine = machines.get(server)
        if seen.status == "active" and machine is not None and machine.status == "stopped":
            off.append(seen)
        else:
            await _compare(context, seen, machine)
    if off:
        await asyncio.sleep(REBOOTS_S)
        machines = await _by_server(engine)
        for seen in off:
            await _compare(context, seen, machines.get(seen.id))


async def _by_server(engine: Engine) -> dict[int, Machine]:
    return {found: one for one in await engine.machines() if (found := server_id(one.name)) is not None}


async def follow_events(context: Context, cell_id: int, engine: Engine) -> None:
    """Look at a server as soon as its machine is said to have ended. Ends by raising Away.

    What happened while nobody listened is caught up by a look at the whole cell.
    """
    async for event in engine.events():
        if event.kind == BEGUN:
            await look_at_cell(context, cell_id)
            continue
        server = server_id(event.machine)
        if event.kind in ENDS and server is not None:
            async with context.database.begin() as conn:
                settled = await rows.settled(conn, cell_id, server)
            if seen := settled.get(server):
                await _compare(context, seen, await engine.look(event.machine))


async def _compare(context: Context, seen: Record, machine: Machine | None) -> None:
    """Begin what a settled server's machine calls for: nothing, noting a shutdown from inside, or converge.

    The row was `seen` before the machine was: who reads it after may find a machine, off in the middle of a reboot,
    beside a row that says that the reboot is done, and take it for one that was shut down from inside (seen).
    """
    server, status = seen.id, seen.status
    runs = machine is not None and machine.status == "running"
    if runs == (status == "active"):
        return
    if status == "active" and machine is not None and machine.stopped_by_guest:
        async with context.database.begin() as conn:
            account_id = await rows.powered_off(conn, seen)
            if account_id is not None:
                done = await actions.begin(
                    conn, account_id=account_id, kind="server.powered_off", subject_id=server, exclusive=False
                )
                await actions.finish(conn, [done], "completed")
                logger.info("powered_off_from_inside", server=server)
        return
    if machine is not None and machine.status == "other":
        return  # on its way to somewhere; the next look will tell
    async with context.database.begin() as conn:
        if (runs or status == "active") and await rows.drifted(conn, seen, now()):
            await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server}", priority=jobs.SWEEP, server_id=server)
            logger.warning("drifted", server=server, status=status, machine=machine.status if machine else None)


def _counts(machine: Machine, usage: Mapping[str, Usage]) -> bool:
    """Whether there is a sample to take; one without counters would count them all anew when they are back."""
    return machine.status == "stopped" or machine.name in usage
