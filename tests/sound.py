"""Whether a whole installation is sound: database and engine agree, nothing is held twice, for nobody, or in vain."""

from collections.abc import Mapping

from sqlalchemy import text

from openvps.compute.consistency import look
from openvps.compute.servers.context import Context
from openvps.compute.servers.names import server_id
from openvps.core.db import Database
from openvps.core.settings import Settings
from openvps.engine.protocol import Engine

# Each finds what must not be: at no time, and once nothing is under way.
ALWAYS = {
    "servers without their two addresses": """
        SELECT server.id FROM server LEFT JOIN address ON address.server_id = server.id
        GROUP BY server.id HAVING count(address.ip) <> 2 OR count(DISTINCT address.family) <> 2""",
    "holds of no server": """
        SELECT reference FROM ledger_hold WHERE reference NOT IN (SELECT 'server:' || id FROM server)""",
    "servers that will be charged without a meter": """
        SELECT id FROM server WHERE wanted <> 'absent'
        AND id NOT IN (SELECT server_id FROM meter WHERE ended_at IS NULL) AND status <> 'error'""",
    "meters of no server": """
        SELECT server_id FROM meter WHERE ended_at IS NULL AND server_id NOT IN (SELECT id FROM server)""",
    "totals that are not their entries' sum": """
        SELECT ledger_total.account_id FROM ledger_total LEFT JOIN ledger_entry USING (account_id)
        GROUP BY ledger_total.account_id, ledger_total.amount_micro
        HAVING ledger_total.amount_micro <> coalesce(sum(ledger_entry.amount_micro), 0)""",
    "servers' months that are not their charges' sum": """
        SELECT server_id FROM meter WHERE month_micro <> coalesce((
            SELECT -sum(amount_micro) FROM ledger_entry WHERE ledger_entry.server_id = meter.server_id
            AND date_trunc('month', at AT TIME ZONE 'UTC') = month_at AT TIME ZONE 'UTC'), 0)""",
    "unfinished actions that nobody works at": """
        SELECT action.id, action.kind FROM action WHERE finished_at IS NULL AND kind LIKE 'server.%'
        AND subject_id NOT IN (SELECT id FROM server WHERE look_at IS NOT NULL)""",
    "servers on their way without a deadline": """
        SELECT id, status FROM server WHERE deadline_at IS NULL
        AND status NOT IN ('active', 'stopped', 'suspended', 'error', 'deleting')""",
    "servers on their way that nobody looks at": """
        SELECT id, status FROM server WHERE look_at IS NULL
        AND status NOT IN ('active', 'stopped', 'suspended', 'error')""",
    "creates without a server or a deletion": """
        SELECT subject_id FROM action WHERE kind = 'server.create' AND subject_id NOT IN (SELECT id FROM server)
        AND subject_id NOT IN (SELECT subject_id FROM action WHERE kind = 'server.delete')""",
}
AT_REST = {
    "cells whose room is not their servers'": """
        SELECT cell.id FROM cell LEFT JOIN server ON server.cell_id = cell.id
        GROUP BY cell.id HAVING (used_vcpus, used_memory_mib, used_storage_gb) IS DISTINCT FROM
        (coalesce(sum(server.vcpus), 0), coalesce(sum(server.memory_mib), 0), coalesce(sum(server.storage_gb), 0)
        + coalesce(sum((SELECT sum(storage_gb) FROM snapshot WHERE server_id = server.id)), 0))""",
}
RUNS = {"active": "running", "stopped": "stopped", "suspended": "stopped", "error": "stopped"}


async def broken(database: Database, questions: Mapping[str, str] = ALWAYS) -> list[str]:
    """Return what the database has that must not be."""
    found: list[str] = []
    async with database.begin() as conn:
        for what, question in questions.items():
            if rows := list(await conn.execute(text(question))):
                found.append(f"{what}: {rows}")
    return found


async def audited(database: Database, config: Settings, engines: Mapping[int, Engine]) -> list[str]:
    """Return what `openvps audit` finds, of cells that nobody else has anything in."""
    report = await look.check(Context(database, config, engines), between_s=0.5)
    unseen = [f"{cell} unseen: {why}" for cell, why in report.left.unseen.items()]
    return [one.text for one in report.left.findings] + unseen


async def unsound(database: Database, engine: Engine, *, ours: range = range(1 << 62)) -> list[str]:
    """Return what is wrong once nothing is under way; of the engine's machines only those of servers in `ours`."""
    found = await broken(database, {**ALWAYS, **AT_REST})
    async with database.begin() as conn:
        rows = await conn.execute(text("SELECT id, status, ready_at IS NULL AS never FROM server"))
        servers = {row.id: row for row in rows}
    machines = {server_id(one.name): one.status for one in await engine.machines()}
    mine = {number: status for number, status in machines.items() if number in ours}
    found += [f"a machine of no server: vps-{number}" for number in mine if number not in servers]
    for number, row in servers.items():
        if number not in mine:
            if not (row.status == "error" and row.never):  # a create may fail before there is anything
                found.append(f"server {number} is {row.status} and has no machine")
        elif mine[number] != RUNS.get(row.status):
            found.append(f"server {number} is {row.status} and its machine {mine[number]}")
    return found
