"""Files with holes, of a server that may mean harm: they cost what is in them, or it is told why they don't fit."""

import pytest
from stage import Stage

from openvps.compute.backups import converge as backups
from openvps.engine.protocol import Missing

pytestmark = [pytest.mark.anyio, pytest.mark.live, pytest.mark.usefixtures("folder")]


async def run(stage: Stage, number: int, script: str) -> int:
    return await stage.real.run(f"vps-{number}", ["sh", "-c", script])


async def nothing_in_the_engine(stage: Stage, number: int, backup: int) -> None:
    engine, name = stage.real, f"backup-{backup}"
    assert await engine.look(name) is None
    assert await engine.published(name) is None
    with pytest.raises(Missing):
        await engine.claim(f"vps-{number}", name)


async def test_files_that_claim_more_than_can_be_read_are_named_and_not_read(stage: Stage) -> None:
    number = await stage.a_server("active")
    claim = "busybox mkdir -p /srv/a && busybox truncate -s 10240G /srv/a/huge && touch /srv/a/none"
    assert await run(stage, number, claim) == 0
    backup = await stage.a_backup(number)
    assert stage.engine.calls["claim"] >= 1
    assert stage.engine.calls["publish"] == 0  # what would read it all
    shown = (await stage.customer("GET", f"/backups/{backup}/")).json()
    assert shown["status"] == "failed"
    assert "claim 10,995 GB, holes and all; at most 100 GB" in shown["error"]
    assert "/srv/a/huge, claims 10,995 GB" in shown["error"]
    await nothing_in_the_engine(stage, number, backup)
    assert await run(stage, number, "rm /srv/a/huge") == 0
    backup = await stage.a_backup(number)
    assert (await stage.customer("GET", f"/backups/{backup}/")).json()["status"] == "completed"
    await nothing_in_the_engine(stage, number, backup)


@pytest.mark.parametrize("before", [True, False])
async def test_a_copy_that_a_dead_worker_left_is_taken_up(stage: Stage, *, before: bool) -> None:
    number = await stage.a_server("stopped")
    backup = await stage.a_backup(number, settled=False)
    stage.engine.fail("claim", before=before)
    await backups.converge(stage.context(), backup)
    await stage.settle_backup(backup)
    assert (await stage.customer("GET", f"/backups/{backup}/")).json()["status"] == "completed"
    await nothing_in_the_engine(stage, number, backup)


async def test_a_file_larger_than_its_disk_comes_back_with_its_holes(stage: Stage) -> None:
    number = await stage.a_server("active")  # of 1 GB
    fill = "cd /root && echo begin > thin && busybox truncate -s 1100M thin && echo end >> thin && ln thin linked"
    assert await run(stage, number, fill) == 0
    size = "cd /root && test $(busybox stat -c %s thin) = 1153433604 && test $(busybox stat -c %h thin) = 2"
    few = "test $(busybox stat -c %b /root/thin) -lt 100"
    assert await run(stage, number, f"{size} && {few}") == 0
    backup = await stage.a_backup(number)
    assert (await stage.customer("GET", f"/backups/{backup}/")).json()["size_mb"] < 10
    assert await run(stage, number, "rm /root/thin /root/linked") == 0
    assert (await stage.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    await stage.restored(number, backup)
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/thin")
    assert await run(stage, number, f"{size} && {few}") == 0
    assert await run(stage, number, "head -c 6 /root/thin | grep begin && tail -c 4 /root/thin | grep end") == 0
