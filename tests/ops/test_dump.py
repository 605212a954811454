"""Before its tables change a database is dumped, and the dump puts it back, row by row."""

from pathlib import Path

import psycopg
import pytest

from factories import World
from openvps import migrations
from openvps.core.settings import Settings
from openvps.ops import dump
from openvps.ops.machine import NotReady
from openvps.ops.migrate import migrate

pytestmark = pytest.mark.anyio


def at(config: Settings, folder: Path) -> Settings:
    return config.model_copy(update={"data_dir": folder})


def rows(url: str) -> list[object]:
    with psycopg.connect(url) as conn:
        return [
            conn.execute(statement).fetchall()
            for statement in (
                "SELECT id, name, status, wanted, cell_id FROM server ORDER BY id",
                "SELECT ip, server_id FROM address WHERE server_id IS NOT NULL ORDER BY ip",
                "SELECT account_id, amount_micro, reference FROM ledger_hold ORDER BY id",
                "SELECT kind, subject_id, status FROM action ORDER BY id",
            )
        ]


async def test_an_upgrade_with_live_servers_is_dumped_first_and_can_be_taken_back(
    world: World, config: Settings, database_url: str, tmp_path: Path
) -> None:
    customer = await world.a_client()
    for status in ("active", "stopped", "provisioning"):
        await world.a_server(customer, status=status)
    await world.database.close()
    migrations.downgrade(database_url, "-1")
    before, old = rows(database_url), migrations.current(database_url)
    file = dump.before_migrating(at(config, tmp_path))
    assert file is not None
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    migrations.upgrade(database_url)
    assert rows(database_url) == before
    with psycopg.connect(database_url) as conn:  # what happens after the upgrade is what a restore takes back
        conn.execute("UPDATE server SET name = 'renamed'")
        conn.execute("CREATE TABLE of_the_new_version (id int)")
    dump.put_back(database_url, file)
    assert migrations.current(database_url) == old
    assert rows(database_url) == before
    migrations.upgrade(database_url)
    assert rows(database_url) == before
    assert dump.dumps(at(config, tmp_path)) == [file]


def test_a_migration_that_fails_leaves_the_tables_as_they_were_and_says_what_to_do(
    config: Settings, database_url: str, tmp_path: Path
) -> None:
    migrations.downgrade(database_url, "0017")
    here = at(config, tmp_path)
    with psycopg.connect(database_url) as conn:  # in the way of a later one of several migrations
        conn.execute("CREATE TABLE console_ticket (id int)")
    with pytest.raises(NotReady, match=r"as they were.*run the version before this one again.*dumps/") as told:
        migrate(here)
    assert "already exists" in str(told.value)
    assert migrations.current(database_url) == "0017"
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT to_regclass('webhook'), to_regclass('skipped_numbers')").fetchone() == (
            None,
            None,
        )
        conn.execute("DROP TABLE console_ticket")
    assert migrate(here) == dump.dumps(here)[0]
    assert migrations.current(database_url) == migrations.head()
    assert migrate(here) is None


def test_a_database_of_a_newer_version_is_not_touched(config: Settings, database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NotReady, match=r"newer version .*9999.*openvps database restore"):
        migrate(at(config, tmp_path))
    assert dump.dumps(at(config, tmp_path)) == []


def test_nothing_is_dumped_where_nothing_changes(config: Settings, tmp_path: Path) -> None:
    assert dump.before_migrating(at(config, tmp_path)) is None


def test_a_dump_that_fails_is_not_kept_and_stops_the_upgrade(
    config: Settings, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.downgrade(database_url, "-1")
    monkeypatch.setenv("PATH", str(tmp_path))
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "pg_dump").write_text("#!/bin/sh\nexit 1\n")
    (broken / "pg_dump").chmod(0o755)
    monkeypatch.setattr("openvps.ops.postgres.bin_dir", lambda: broken)
    with pytest.raises(NotReady, match="not migrated"):
        dump.before_migrating(at(config, tmp_path))
    assert list(tmp_path.rglob("*.dump")) + list(tmp_path.rglob("*.partial")) == []


def test_the_newest_dumps_are_kept(config: Settings, database_url: str, tmp_path: Path) -> None:
    migrations.downgrade(database_url, "-1")
    (tmp_path / "dumps").mkdir()
    for year in range(2000, 2010):
        (tmp_path / "dumps" / f"{year}0101T000000Z-0001.dump").touch()
    newest = dump.before_migrating(at(config, tmp_path))
    kept = dump.dumps(at(config, tmp_path))
    assert kept[0] == newest
    assert [file.name[:4] for file in kept[1:]] == ["2009", "2008", "2007", "2006"]
