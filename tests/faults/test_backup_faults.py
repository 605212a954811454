"""Backups, where engine or store fail: what is in the store is whole, and nothing stays in the engine."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stage import Stage

from factories import ED25519
from openvps.compute.backups import converge as backups
from openvps.compute.backups import lend, store
from openvps.compute.servers.converge import converge
from openvps.engine.protocol import Missing

pytestmark = [pytest.mark.anyio, pytest.mark.live]


@pytest.fixture(autouse=True)
def folder(stage: Stage) -> Path:
    """Return the folder of a store that is to be made."""
    folder = store.folder(stage.world.config)
    folder.mkdir()
    (folder / "key").write_text("a key of the tests\n")
    return folder


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return what restic says is in the store."""
    own = {"RESTIC_REPOSITORY": str(folder / "store"), "RESTIC_PASSWORD_FILE": str(folder / "key")}
    argv = ["restic", "--no-cache", "--no-lock", "snapshots", "--json"]
    done = subprocess.run(argv, env={**os.environ, **own}, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout) or []


async def status(stage: Stage, backup: int) -> tuple[str, str | None]:
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    return shown["status"], shown["error"]


async def nothing_in_the_engine(stage: Stage, number: int, backup: int) -> None:
    with pytest.raises(Missing):
        await stage.engine.engine.restore(f"vps-{number}", f"backup-{backup}")
    await stage.agree(number, "stopped")


async def restored(stage: Stage, number: int, backup: int) -> None:
    """Have worker and converge look in turn, as the sweep would, until neither has anything to do."""
    for _ in range(200):
        waits = await stage.world.sql("SELECT 1 FROM backup WHERE id = :id AND look_at IS NOT NULL", id=backup)
        due = await stage.due(number)
        if not waits and not due:
            return
        if waits:
            await backups.converge(stage.context(), backup)
        if due:
            await converge(stage.context(), number, patience_s=0)
    pytest.fail(await stage.told(number))


async def to_be_restored(stage: Stage) -> tuple[int, int]:
    """Have a server backed up between two writes, and ask for what was."""
    number = await stage.a_server("active")
    await stage.write(number, "/root/kept")
    backup = await stage.a_backup(number)
    await stage.write(number, "/root/lost")
    assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    return number, backup


LATER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKrSTCnWpTzrXl6bd8kpH8LJlEJ3kY7bbVqPqcNbvyxX"
AWAY = store.StoreAway.told
VERBS = ["put_back", "published", "stop", "mark", "rebuild", "renew", "start", "unpublish"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("before", [True, False])
async def test_a_backup_is_restored_although_a_call_fails(stage: Stage, verb: str, *, before: bool) -> None:
    number, backup = await to_be_restored(stage)
    stage.engine.calls.clear()
    stage.engine.fail(verb, before=before)
    await restored(stage, number, backup)
    assert stage.engine.calls[verb] >= 1
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/kept")
    assert not await stage.has(number, "/root/lost")
    assert await stage.engine.engine.published(f"backup-{backup}") is None
    told = await stage.world.sql(
        "SELECT DISTINCT status FROM action WHERE subject_id IN (:id, :b)", id=number, b=backup
    )
    assert told == [("completed",)]


async def test_a_damaged_backup_is_named_and_the_server_is_as_it_was(stage: Stage, folder: Path) -> None:
    number, backup = await to_be_restored(stage)
    for pack in (folder / "store" / "data").rglob("*"):
        if pack.is_file():
            content = bytearray(pack.read_bytes())
            content[len(content) // 3] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)
    await restored(stage, number, backup)
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/lost")
    assert await stage.engine.engine.published(f"backup-{backup}") is None
    told = await stage.world.sql("SELECT status, error FROM action WHERE kind = 'server.restore'")
    assert told == [("failed", lend.DAMAGED)]


@pytest.mark.parametrize("verb", ["snapshot", "publish", "export_image", "unpublish", "delete_snapshot"])
@pytest.mark.parametrize("before", [True, False])
async def test_a_backup_is_stored_once_although_a_call_fails(
    stage: Stage, folder: Path, verb: str, *, before: bool
) -> None:
    number = await stage.a_server("stopped")
    backup = await stage.a_backup(number, settled=False)
    stage.engine.fail(verb, before=before)
    await stage.settle_backup(backup)
    assert await status(stage, backup) == ("completed", None)
    assert [one["tags"] for one in stored(folder)] == [[f"backup-{backup}"]]
    await nothing_in_the_engine(stage, number, backup)


async def test_a_store_that_is_away_is_tried_again_until_the_deadline(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("stopped")
    (folder / "store").write_text("no folder")
    backup = await stage.a_backup(number, settled=False)
    for _ in range(2):
        await backups.converge(stage.context(), backup)
        assert await status(stage, backup) == ("in_progress", AWAY)
    (folder / "store").unlink()
    await stage.settle_backup(backup)
    assert await status(stage, backup) == ("completed", None)

    (folder / "store").rename(folder / "elsewhere")
    (folder / "store").write_text("no folder")
    backup = await stage.a_backup(number, settled=False)
    await backups.converge(stage.context(), backup)
    await stage.world.sql("UPDATE backup SET deadline_at = now() WHERE id = :id", id=backup)
    await stage.settle_backup(backup)
    assert await status(stage, backup) == ("failed", f"It took too long and was given up. {AWAY}")
    [notice] = (await stage.customer("GET", "/account/notices/")).json()["results"]
    assert (notice["kind"], AWAY in notice["text"]) == ("backup_failed", True)
    await nothing_in_the_engine(stage, number, backup)


async def test_a_backup_whose_server_went_has_failed_and_one_that_is_stored_stays(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("stopped")
    kept = await stage.a_backup(number)
    late = await stage.a_backup(number, settled=False)
    await stage.customer("DELETE", f"/servers/{number}/")
    await stage.settle(number)
    await stage.settle_backup(late)
    assert (await status(stage, late))[0] == "failed"
    assert await status(stage, kept) == ("completed", None)
    assert len(stored(folder)) == 1
    assert (await stage.customer("DELETE", f"/backups/{kept}/")).status_code == 204
    await stage.settle_backup(kept)
    assert stored(folder) == []


# the proof and a new server, where every call fails once


def fail_each(stage: Stage, verbs: list[str], *, before: bool) -> None:
    stage.engine.calls.clear()
    for verb in verbs:
        stage.engine.fail(verb, before=before)


async def nothing_is_lent(stage: Stage, backup: int) -> None:
    engine = stage.engine.engine
    assert await engine.look(f"verify-{backup}") is None
    assert await engine.published(f"verify-{backup}") is None
    assert await engine.published(f"backup-{backup}") is None
    [left] = await stage.world.sql("SELECT lent_to, verify_cell_id, verify_deadline_at FROM backup")
    assert tuple(left) == ([], None, None)
    assert await stage.world.sql("SELECT kind, status FROM action WHERE status <> 'completed'") == []


PROOF = [
    *("look", "create", "put_back", "published", "rebuild", "mark", "snapshot", "publish", "export_image", "start"),
    *("run", "kill", "delete", "unpublish"),
]


@pytest.mark.parametrize("before", [True, False])
async def test_a_backup_is_proved_although_every_call_fails_once(stage: Stage, *, before: bool) -> None:
    number = await stage.a_server("active")
    backup = await stage.a_backup(number)
    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 400
    fail_each(stage, PROOF, before=before)
    await stage.settle_backup(backup)
    assert min(stage.engine.calls[verb] for verb in PROOF) >= 1
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert shown["verify_error"] is None
    assert shown["verified_at"] is not None
    await nothing_is_lent(stage, backup)


AS_NEW = [
    "create",
    "look",
    "put_back",
    "published",
    "mark",
    "rebuild",
    "renew",
    "start",
    "read_file",
    "run",
    "unpublish",
]


@pytest.mark.parametrize("before", [True, False])
async def test_a_new_server_is_made_of_a_deleted_ones_backup_although_every_call_fails_once(
    stage: Stage, *, before: bool
) -> None:
    number = await stage.a_server("active")
    await stage.write(number, "/root/kept")
    backup = await stage.a_backup(number)
    assert (await stage.customer("DELETE", f"/servers/{number}/")).status_code == 204
    await stage.settle(number)
    key = (await stage.customer("POST", "/ssh-keys/", {"name": "later", "public_key": LATER})).json()["id"]
    wanted = {"name": "again", "plan_id": 3, "backup_id": backup, "location": "us-west", "ssh_key_id": key}
    answer = await stage.customer("POST", "/servers/", wanted)
    assert answer.status_code == 201, answer.text
    new = answer.json()["id"]
    stage.made.append(new)
    assert (await stage.customer("DELETE", f"/backups/{backup}/")).status_code == 400
    fail_each(stage, AS_NEW, before=before)
    await restored(stage, new, backup)
    assert min(stage.engine.calls[verb] for verb in AS_NEW) >= 1
    await stage.agree(new, "active")
    assert await stage.has(new, "/root/kept")
    keys = (await stage.engine.engine.read_file(f"vps-{new}", "/root/.ssh/authorized_keys")).decode()
    assert ED25519 in keys  # as it was
    assert keys.count(LATER) == 1  # and the one that was asked for
    await nothing_is_lent(stage, backup)
