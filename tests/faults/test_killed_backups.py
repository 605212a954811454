"""Real workers that are killed (SIGKILL) while they make, prove or restore backups, and what the next makes of it."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from stage import Stage

from killed import Kill, a_mortal_maker, a_mortal_worker, on_its_way
from openvps.engine.protocol import Missing
from running import a_worker

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.usefixtures("folder")]

RESTING_S = 120.0

OF_A_SERVER = {
    "rebuild": Kill(1, "after", "ensure_restored"),  # the engine is about to be told
    "restore": Kill(1, "before", "_agree"),
    "again": Kill(1, "after", "ensure_restored"),
}
OF_A_BACKUP = {
    "make": Kill(1, "before", "feed"),  # all of it has been passed on; restic may store it or not
    "lent": Kill(1, "after", "_lend"),
    "compared": Kill(1, "after", "_compare"),
}


def stored(folder: Path, *words: str) -> bytes:
    env = {**os.environ, "RESTIC_REPOSITORY": str(folder / "store"), "RESTIC_PASSWORD_FILE": str(folder / "key")}
    argv = ["restic", "--no-cache", "--no-lock", *words]
    return subprocess.run(argv, env=env, check=True, capture_output=True, timeout=60).stdout


async def at_rest(stage: Stage) -> None:
    """Wait until a real worker has nothing left to do."""
    began = time.monotonic()
    left = "SELECT 'server', id FROM server WHERE look_at IS NOT NULL UNION SELECT 'backup', id FROM backup"
    while waits := await stage.world.sql(f"{left} WHERE look_at IS NOT NULL"):
        assert time.monotonic() - began < RESTING_S, waits
        await asyncio.sleep(0.1)


async def test_a_worker_killed_in_the_middle_of_backups_loses_nothing(
    stage: Stage, folder: Path, tmp_path: Path
) -> None:
    """Kill one worker on the way to each goal, one after the other; then one has to find everything."""
    over, anew = await asyncio.gather(stage.a_server("active"), stage.a_server("active"))
    await stage.write(over, "/root/kept")
    backups = {name: await stage.a_backup(over) for name in ("lent", "compared", "restore")}
    await stage.write(over, "/root/lost")
    await stage.write(anew, "/root/lost")
    backups["make"] = await stage.a_backup(anew, settled=False)
    backups["again"] = backups["restore"]
    await stage.at_its_engine()
    await stage.world.sql("UPDATE backup SET look_at = now() WHERE id = :id", id=backups["make"])

    for name, kill in OF_A_BACKUP.items():
        worker = a_mortal_maker(tmp_path / f"{name}.log", kill, backups[name])
        worker.says("worker_ready")
        if name != "make":
            await on_its_way(stage.customer, "verify", backups[name])
        await asyncio.to_thread(worker.dies)
    again = await on_its_way(stage.customer, "again", backups["again"])
    stage.made.append(again)
    for name, number in (("again", again), ("rebuild", anew), ("restore", over)):
        worker = a_mortal_worker(tmp_path / f"{name}.log", OF_A_SERVER[name], number)
        worker.says("worker_ready")
        if name != "again":
            await on_its_way(stage.customer, name, backups.get(name, number))
        await asyncio.to_thread(worker.dies)

    worker = a_worker(tmp_path / "worker.log")
    worker.says("worker_ready")
    try:
        await at_rest(stage)
    finally:
        code = await asyncio.to_thread(worker.end)
    assert code == 0
    assert await stage.world.sql("SELECT kind, status, error FROM action WHERE status <> 'completed'") == []
    for number, kept in ((over, True), (again, True), (anew, False)):
        await stage.agree(number, "active")
        assert await stage.has(number, "/root/kept") == kept
        assert not await stage.has(number, "/root/lost")
    rows = await stage.world.sql("SELECT id, status, verified_at, verify_error, lent_to, verify_cell_id FROM backup")
    for row in rows:
        proved = row.id in {backups[name] for name in ("lent", "compared")}
        assert (row.status, row.verify_error, row.lent_to, row.verify_cell_id) == ("completed", None, [], None)
        assert (row.verified_at is not None) == proved
        engine = stage.real
        assert await engine.look(f"verify-{row.id}") is None
        assert await engine.look(f"backup-{row.id}") is None
        assert await engine.published(f"backup-{row.id}") is None
        for number in (over, anew):
            with pytest.raises(Missing):
                await engine.publish(f"vps-{number}", f"backup-{row.id}")
    tags = [one["tags"][0] for one in json.loads(stored(folder, "snapshots", "--json"))]
    assert sorted(tags) == sorted(f"backup-{row.id}" for row in rows)  # each once
    assert await stage.unsound() == []


async def test_what_a_killed_worker_left_cut_off_in_the_store_is_not_taken_for_a_backup(
    stage: Stage, folder: Path
) -> None:
    """As restic stores it: the death of who writes to it is the end of the file to it."""
    number = await stage.a_server("active")
    whole = await stage.a_backup(number)
    tar = stored(folder, "dump", "--tag", f"backup-{whole}", "latest", "server.tar")
    backup = await stage.a_backup(number, settled=False)
    argv = ["restic", "backup", "--stdin", "--stdin-filename", "server.tar", "--tag", f"backup-{backup}"]
    env = {**os.environ, "RESTIC_REPOSITORY": str(folder / "store"), "RESTIC_PASSWORD_FILE": str(folder / "key")}
    cut = tar[: len(tar) // 2]
    subprocess.run(argv, env=env, input=cut, check=True, capture_output=True, timeout=60)  # noqa: ASYNC221 -- a moment
    await stage.settle_backup(backup)
    assert len(stored(folder, "dump", "--tag", f"backup-{backup}", "latest", "server.tar")) >= len(tar)
    assert len(json.loads(stored(folder, "snapshots", "--json", "--tag", f"backup-{backup}"))) == 1
    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
    await stage.settle_backup(backup)
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert (shown["status"], shown["verify_error"], shown["verified_at"] is None) == ("completed", None, False)
