"""The database is lost and comes back from the store: it agrees with the engine, and no number is given out twice."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stage import Stage

from lab import Lab
from openvps import migrations
from openvps.compute.backups import store
from openvps.compute.consistency import compare, look
from openvps.compute.consistency.findings import Report
from openvps.compute.locations import queries as locations
from openvps.compute.servers import watch
from openvps.compute.servers.context import Context
from openvps.core import settings
from openvps.core.db import Database
from openvps.engine.incus.reach import own_files
from openvps.ops import backup_key, client_certificate, control_plane, machine, postgres
from openvps.ops.machine import WORKER_USER

pytestmark = [pytest.mark.anyio, pytest.mark.live]


@pytest.fixture(autouse=True)
def _settings_of_the_stage(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Iterator[None]:
    """Have a data folder that service users can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="openvps-"))
    folder.chmod(0o755)
    letters = lab.project[-3:]
    monkeypatch.setenv("OPENVPS_IPV4_POOL", f"10.{64 + sum(letters.encode()) % 64}.99.0/24")
    monkeypatch.setenv("OPENVPS_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("OPENVPS_NIC_PREFIX", f"g{letters}")
    monkeypatch.setenv("OPENVPS_STOP_GRACE_S", "2")
    yield
    shutil.rmtree(folder)


@pytest.fixture
def prepared(stage: Stage) -> Stage:
    """Return the stage of an installation with the keys that `openvps up` makes."""
    config = stage.world.config
    machine.ensure_users()
    machine.ensure_folders(config)
    backup_key.ensure(config)
    client_certificate.ensure(config)
    return stage


def give_to_the_worker(folder: Path) -> None:
    """Make what this process stored, which is root, its whose process it would be."""
    subprocess.run(["chown", "-R", WORKER_USER, str(folder)], check=True)


async def lost(stage: Stage, database_url: str) -> None:
    """Lose the database, and the key by which remote cells know us."""
    await stage.world.database.close()
    with psycopg.connect(database_url) as conn:
        conn.execute("DROP SCHEMA public CASCADE")
        conn.execute("CREATE SCHEMA public")
    for file in own_files(stage.world.config):
        file.unlink()


async def test_a_lost_database_comes_back_from_the_store_and_agrees_with_the_engine(
    prepared: Stage, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = prepared
    runs, off = await stage.a_server("active"), await stage.a_server("stopped")
    backup = await stage.a_backup(runs)
    key = own_files(stage.world.config)[1].read_bytes()
    give_to_the_worker(store.folder(stage.world.config) / "store")
    assert await asyncio.to_thread(control_plane.backup) == 0, capsys.readouterr().err
    late = await stage.a_server("active")

    await lost(stage, database_url)
    assert await asyncio.to_thread(control_plane.restore, None) == 0, capsys.readouterr().err
    assert own_files(stage.world.config)[1].read_bytes() == key
    assert (stage.world.config.data_dir / "restored-settings.env").stat().st_mode & 0o777 == 0o600

    await watch.look_at_cell(stage.context(), stage.world.cell_id)
    rows = await stage.world.sql("SELECT id, status, look_at FROM server ORDER BY id")
    assert [tuple(row) for row in rows] == [(runs, "active", None), (off, "stopped", None)]
    for number, status in ((runs, "active"), (off, "stopped")):
        await stage.agree(number, status)
    async with stage.world.database.begin() as conn:
        cell = await locations.cell_row(conn, stage.world.cell_id)
    found = {one.subject: one.repair for one in await compare.look_at_cell(stage.world.database, cell, stage.engine)}
    assert not {f"vps-{runs}", f"vps-{off}", str(runs), str(off)} & set(found)
    assert found[f"vps-{late}"] is None  # found, and no repair deletes it
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert shown["status"] == "completed"
    # What was made after the backup is nobody's now, and stays so: no new server gets its name, nor its disk.
    assert await stage.status(late) is None
    assert await stage.create() > late
    stage.made.remove(late)
    await stage.real.kill(f"vps-{late}")
    await stage.real.delete(f"vps-{late}")


async def test_without_the_stores_key_or_with_a_damaged_store_nothing_is_touched(
    prepared: Stage, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.folder(prepared.world.config)
    assert await asyncio.to_thread(control_plane.backup) == 0, capsys.readouterr().err
    (folder / "key").rename(folder / "elsewhere")
    assert await asyncio.to_thread(control_plane.restore, None) == 1
    assert "key is missing" in capsys.readouterr().err
    (folder / "elsewhere").rename(folder / "key")
    for pack in (folder / "store" / "data").rglob("*"):
        if pack.is_file():
            content = bytearray(pack.read_bytes())
            content[len(content) // 3] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)
    assert await asyncio.to_thread(control_plane.restore, None) == 1
    assert "the database is as it was" in capsys.readouterr().err
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM account").fetchone() == (1 + 1,)


TABLES = (
    "account",
    "token",
    "server",
    "snapshot",
    "backup",
    "address",
    "ledger_entry",
    "action",
    "audit_entry",
    "cell",
)


async def rows_of(database: Database) -> dict[str, list[str]]:
    async with database.begin() as conn:
        return {
            table: [
                str(row[0]) for row in await conn.exec_driver_sql(f"SELECT {table} FROM {table} ORDER BY {table}")
            ]
            for table in TABLES
        }


async def test_a_new_machine_has_everything_from_the_stores_folder_and_its_key_alone(
    prepared: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A data folder in which nothing else is; the restore makes its PostgreSQL."""
    stage = prepared
    runs = await stage.a_server("active")
    await stage.a_snapshot(runs)
    await stage.a_backup(runs)
    had = await rows_of(stage.world.database)
    give_to_the_worker(store.folder(stage.world.config) / "store")
    assert await asyncio.to_thread(control_plane.backup) == 0, capsys.readouterr().err

    data = stage.world.config.data_dir.parent / "new"
    data.mkdir(mode=0o755)
    subprocess.run(["cp", "-a", str(store.folder(stage.world.config)), str(data / "backups")], check=True)  # noqa: ASYNC221 -- a moment
    shutil.rmtree(data / "backups" / "cache", ignore_errors=True)
    monkeypatch.setenv("OPENVPS_DATA_DIR", str(data))
    monkeypatch.delenv("OPENVPS_DATABASE_URL")
    settings.load.cache_clear()
    config = settings.load()
    assert await asyncio.to_thread(control_plane.restore, None) == 0, capsys.readouterr().err
    assert (data / "cells").stat().st_mode & 0o777 == 0o750
    child = await asyncio.to_thread(postgres.start, config)
    database = Database(config.conninfo("owner"))
    try:
        assert await rows_of(database) == had
        assert await asyncio.to_thread(migrations.current, config.conninfo("owner")) == migrations.head()
        engines = {stage.world.cell_id: stage.engine}
        report = await look.check(Context(database, config, engines), between_s=0.5)
        ours = {f"vps-{runs}", str(runs), *own_subjects(report)}
        assert [one.text for one in report.left.findings if one.subject in ours] == []
        assert report.left.unseen == {}
    finally:
        await database.close()
        await asyncio.to_thread(child.stop)


def own_subjects(report: Report) -> set[str]:
    """Return what was found in rows alone: of the engine other tests have things, too."""
    return {one.subject for one in report.left.findings if one.cell_id is None}
