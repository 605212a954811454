"""Backups, where engine or store fail: what is in the store is whole, and nothing stays in the engine."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from stage import Stage

from factories import ED25519
from openvps.compute.backups import converge as backups
from openvps.compute.backups import lend, pruning, store
from openvps.engine.incus.client import Client as Incus
from openvps.engine.protocol import EngineError, Missing

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.usefixtures("folder")]


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=60)


def own(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RESTIC_REPOSITORY": str(folder / "store"),
        "RESTIC_PASSWORD_FILE": str(folder / "key"),
    }


def restic(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    """Run restic as the store's operator would."""
    argv = ["restic", "--no-cache", *words]
    done = subprocess.run(argv, env=own(folder), input=stdin, capture_output=True, check=True, timeout=60)
    return done.stdout


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return what restic says is in the store."""
    return json.loads(restic(folder, "--no-lock", "snapshots", "--json")) or []


async def status(stage: Stage, backup: int) -> tuple[str, str | None]:
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    return shown["status"], shown["error"]


async def nothing_in_the_engine(stage: Stage, number: int, backup: int) -> None:
    with pytest.raises(Missing):
        await stage.real.restore(f"vps-{number}", f"backup-{backup}")
    await stage.agree(number, "stopped")


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
    await stage.restored(number, backup)
    assert stage.engine.calls[verb] >= 1
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/kept")
    assert not await stage.has(number, "/root/lost")
    assert await stage.real.published(f"backup-{backup}") is None
    told = await stage.world.sql(
        "SELECT DISTINCT status FROM action WHERE subject_id IN (:id, :b)", id=number, b=backup
    )
    assert told == [("completed",)]


async def test_the_grace_of_a_restore_begins_when_the_server_is_told_to_stop(stage: Stage) -> None:
    """However long the copy took: here an hour, by the clock of the action."""
    stage.world.config = stage.world.config.model_copy(update={"stop_grace_s": 60})
    number, backup = await to_be_restored(stage)
    await stage.world.sql("UPDATE action SET created_at = created_at - interval '1 hour'")
    stage.engine.calls.clear()
    await stage.restored(number, backup)
    assert stage.engine.calls["stop"] >= 1
    assert stage.engine.calls["kill"] == 0
    await stage.agree(number, "active")
    assert await stage.world.sql("SELECT stop_told_at FROM server WHERE id = :id", id=number) == [(None,)]


def flip_a_bit(folder: Path) -> None:
    """Damage every file of a part of the store a little."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = bytearray(file.read_bytes())
            content[len(content) // 3] ^= 1
            file.chmod(0o600)
            file.write_bytes(content)


async def test_a_flipped_bit_in_data_index_or_metadata_is_named_and_the_server_is_as_it_was(
    stage: Stage, folder: Path
) -> None:
    number = await stage.a_server("active")
    backup = await stage.a_backup(number)
    await stage.write(number, "/root/newer")
    shutil.copytree(folder / "store", folder / "whole")
    for part in ("data", "index", "snapshots", "keys"):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        flip_a_bit(folder / "store" / part)
        assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
        await stage.restored(number, backup)
        await stage.agree(number, "active")
        told = await stage.world.sql("SELECT status, error FROM action WHERE kind = 'server.restore' ORDER BY id")
        assert told[-1] == ("failed", lend.DAMAGED), part
        assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
        await stage.settle_backup(backup)
        shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
        assert store.StoreDamaged.told in shown["verify_error"], part
        shutil.rmtree(folder / "store")
        shutil.copytree(folder / "whole", folder / "store")
    assert await stage.has(number, "/root/newer")
    assert await stage.real.published(f"backup-{backup}") is None
    notices = (await stage.customer("GET", "/account/notices/")).json()["results"]
    assert [one["kind"] for one in notices] == ["backup_unverified"] * 4

    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
    await stage.settle_backup(backup)
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert (shown["verify_error"], shown["verified_at"] is None) == (None, False)


async def test_another_backup_under_its_name_is_not_restored(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("active")
    older = await stage.a_backup(number)
    await stage.write(number, "/root/newer")
    backup = await stage.a_backup(number)
    ids = {one["tags"][0]: one["id"] for one in stored(folder)}
    restic(folder, "forget", ids[f"backup-{backup}"])
    restic(folder, "tag", "--set", f"backup-{backup}", ids[f"backup-{older}"])
    assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    await stage.restored(number, backup)
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/newer")
    told = await stage.world.sql("SELECT status, error FROM action WHERE kind = 'server.restore'")
    assert told == [("failed", lend.DAMAGED)]


def planted(tar: bytes) -> bytes:
    """Return a stored tarball with what an attacker would have it bring."""
    out = io.BytesIO()
    config = "config: {security.privileged: 'true'}\ndevices: {host: {type: disk, source: /etc, path: /host}}\n"
    texts = {
        "metadata.yaml": "architecture: x86_64\ncreation_date: 1\nproperties: {security.privileged: 'true'}\n"
        "templates: {/planted: {when: [create, start], template: planted.tpl}}\n",
        "templates/planted.tpl": "planted",
        "backup.yaml": config,
        "backup/index.yaml": config,
    }
    with tarfile.open(fileobj=io.BytesIO(tar)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for name, text in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            new.addfile(entry, io.BytesIO(text.encode()))
        for entry in old:
            if entry.name not in texts:
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)
    return out.getvalue()


async def test_planted_keys_in_a_stored_backup_have_no_effect(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("active")
    backup = await stage.a_backup(number)
    [one] = stored(folder)
    tar = planted(restic(folder, "dump", one["id"], "server.tar"))
    restic(folder, "forget", one["id"])
    restic(folder, "backup", "--stdin", "--stdin-filename", "server.tar", "--tag", f"backup-{backup}", stdin=tar)
    assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    await stage.restored(number, backup)
    await stage.agree(number, "active")
    assert await stage.world.sql("SELECT status FROM action WHERE kind = 'server.restore'") == [("completed",)]
    assert not await stage.has(number, "/planted")
    assert not await stage.has(number, "/host/passwd")
    client = Incus(stage.lab.project, socket=Path(stage.lab.socket))
    instance = await client.get(f"/1.0/instances/vps-{number}")
    await client.close()
    assert instance["config"]["security.privileged"] == "false"
    assert set(instance["devices"]) == {"root", "eth0"}


async def test_a_full_store_is_told_at_once_and_a_backup_is_made_when_it_has_room(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("stopped")
    (folder / "store").mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder / "store"))
    try:
        backup = await stage.a_backup(number, settled=False)
        await backups.converge(stage.context(), backup)
        assert await status(stage, backup) == ("in_progress", store.StoreFull.told)
        run("mount", "-o", "remount,size=64m", str(folder / "store"))
        await stage.settle_backup(backup)
        assert await status(stage, backup) == ("completed", None)
        await nothing_in_the_engine(stage, number, backup)
    finally:
        run("umount", str(folder / "store"))


async def test_a_store_that_was_there_and_is_not_is_away_and_not_made_anew(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("stopped")
    await stage.a_backup(number)
    (folder / "store").rename(folder / "elsewhere")  # as a mount that failed
    backup = await stage.a_backup(number, settled=False)
    await backups.converge(stage.context(), backup)
    assert await status(stage, backup) == ("in_progress", AWAY)
    assert not (folder / "store" / "config").exists()
    (folder / "elsewhere").rename(folder / "store")
    await stage.settle_backup(backup)
    assert await status(stage, backup) == ("completed", None)


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


def data_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "store" / "data").rglob("*") if file.is_file())


async def test_what_deleted_backups_needed_goes_from_the_store_once_an_hour(stage: Stage, folder: Path) -> None:
    number = await stage.a_server("active")
    first, second = await stage.a_backup(number), await stage.a_backup(number)
    assert await pruning.prune(stage.context())  # it never was
    for backup in (first, second):
        had = data_of(folder)
        assert (await stage.customer("DELETE", f"/backups/{backup}/")).status_code == 204
        await stage.settle_backup(backup)
        assert stored(folder) == [one for one in stored(folder) if one["tags"] == [f"backup-{second}"]]
        assert data_of(folder) == had
    assert not await pruning.prune(stage.context())
    await stage.world.sql("UPDATE turn SET taken_at = taken_at - interval '61 minutes'")
    restic(folder, "backup", "--stdin", "--stdin-filename", "other", "--tag", "other", stdin=b"kept")
    argv = ("restic", "--no-cache", "--quiet", "backup", "--stdin")
    writes = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE, env=own(folder))
    try:
        while not list((folder / "store" / "locks").iterdir()):
            assert writes.returncode is None
            await asyncio.sleep(0.05)
        assert not await pruning.prune(stage.context())  # somebody writes
    finally:
        await writes.communicate(b"something")
    assert await pruning.prune(stage.context())
    assert data_of(folder) < had / 10
    assert not await pruning.prune(stage.context())


# the proof and a new server, where every call fails once


def fail_each(stage: Stage, verbs: list[str], *, before: bool) -> None:
    stage.engine.calls.clear()
    for verb in verbs:
        stage.engine.fail(verb, before=before)


async def nothing_is_lent(stage: Stage, backup: int) -> None:
    engine = stage.real
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


async def test_a_machine_of_a_backup_that_went_is_made_anew_and_given_its_disk_again(stage: Stage) -> None:
    """The new server's because it couldn't be started; the throw-away one's by another hand."""
    number = await stage.a_server("active")
    await stage.write(number, "/root/kept")
    backup = await stage.a_backup(number)
    wanted = {"name": "again", "plan_id": 3, "backup_id": backup, "location": "us-west"}
    new = (await stage.customer("POST", "/servers/", wanted)).json()["id"]
    stage.made.append(new)
    stage.engine.calls.clear()
    stage.engine.fail("start", error=EngineError("refused"))
    await stage.restored(new, backup)
    assert (stage.engine.calls["create"], stage.engine.calls["delete"]) == (2, 1)
    await stage.agree(new, "active")
    assert await stage.has(new, "/root/kept")

    assert (await stage.customer("POST", f"/backups/{backup}/verify/")).status_code == 200
    stage.engine.fail("start", error=EngineError("refused"))
    await backups.converge(stage.context(), backup)
    assert await stage.real.look(f"verify-{backup}") is not None
    await stage.real.delete(f"verify-{backup}")
    await stage.settle_backup(backup)
    assert (await stage.customer("GET", f"/backups/{backup}/")).json()["verified_at"] is not None
    await nothing_is_lent(stage, backup)


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
    await stage.restored(new, backup)
    assert min(stage.engine.calls[verb] for verb in AS_NEW) >= 1
    await stage.agree(new, "active")
    assert await stage.has(new, "/root/kept")
    keys = (await stage.real.read_file(f"vps-{new}", "/root/.ssh/authorized_keys")).decode()
    assert ED25519 in keys  # as it was
    assert keys.count(LATER) == 1  # and the one that was asked for
    await nothing_is_lent(stage, backup)
