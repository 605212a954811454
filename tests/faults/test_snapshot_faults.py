"""Snapshots, where the engine fails at each call, and restores that are never done twice."""

import pytest
from stage import Stage

from openvps.compute.servers.converge import converge
from openvps.engine.protocol import EngineError, Missing

pytestmark = [pytest.mark.anyio, pytest.mark.live]


async def told(stage: Stage, kind: str) -> list[tuple[str, str | None]]:
    return [
        tuple(row) for row in await stage.world.sql("SELECT status, error FROM action WHERE kind = :kind", kind=kind)
    ]


async def taken_gb(stage: Stage) -> int:
    """Return what of the cell's room for disks is taken."""
    [(storage_gb,)] = await stage.world.sql("SELECT used_storage_gb FROM cell")
    return storage_gb


async def the_engines(stage: Stage, number: int, snapshot: int) -> bool:
    """Whether the engine has a snapshot; asked by restoring, since no verb lists them."""
    try:
        await stage.real.restore(f"vps-{number}", f"snap-{snapshot}")
    except Missing:
        return False
    return True


@pytest.mark.parametrize("before", [True, False])
async def test_a_snapshot_is_made_although_the_call_fails(stage: Stage, *, before: bool) -> None:
    number = await stage.a_server("stopped")
    snapshot = await stage.a_snapshot(number, settled=False)
    stage.engine.fail("snapshot", before=before)
    await stage.settle_snapshot(snapshot)
    assert (await stage.customer("GET", f"/snapshots/{snapshot}/")).json()["status"] == "completed"
    assert await taken_gb(stage) == 2  # the snapshot may come to keep as much as its server's disk
    assert await told(stage, "snapshot.create") == [("completed", None)]
    assert await the_engines(stage, number, snapshot)


@pytest.mark.parametrize("before", [True, False])
async def test_a_snapshot_is_deleted_although_the_call_fails(stage: Stage, *, before: bool) -> None:
    number = await stage.a_server("stopped")
    snapshot = await stage.a_snapshot(number)
    assert (await stage.customer("DELETE", f"/snapshots/{snapshot}/")).status_code == 204
    stage.engine.fail("delete_snapshot", before=before)
    await stage.settle_snapshot(snapshot)
    assert await stage.world.sql("SELECT 1 FROM snapshot") == []
    assert await taken_gb(stage) == 1
    assert await told(stage, "snapshot.delete") == [("completed", None)]
    assert not await the_engines(stage, number, snapshot)


async def test_a_snapshot_past_its_deadline_has_failed(stage: Stage) -> None:
    number = await stage.a_server("stopped")
    snapshot = await stage.a_snapshot(number, settled=False)
    await stage.world.sql("UPDATE snapshot SET deadline_at = now()")
    await stage.settle_snapshot(snapshot)
    shown = (await stage.customer("GET", f"/snapshots/{snapshot}/")).json()
    assert (shown["status"], shown["error"]) == ("failed", "It took too long and was given up.")
    assert await taken_gb(stage) == 1  # by the server alone
    assert await told(stage, "snapshot.create") == [("failed", "It took too long and was given up.")]


async def test_a_snapshot_under_way_ends_with_its_server(stage: Stage) -> None:
    number = await stage.a_server("stopped")
    await stage.a_snapshot(number, settled=False)
    assert (await stage.customer("DELETE", f"/servers/{number}/")).status_code == 204
    await stage.settle(number)
    assert await stage.world.sql("SELECT 1 FROM snapshot") == []
    assert await told(stage, "snapshot.create") == [("cancelled", "The server was deleted.")]
    await stage.nothing_left(number)


async def test_what_is_written_after_a_restore_stays(stage: Stage) -> None:
    number = await stage.a_server("active")
    snapshot = await stage.a_snapshot(number)
    for run in ("first", "second"):
        await stage.customer("POST", f"/snapshots/{snapshot}/restore/")
        await stage.settle(number)
        await stage.write(number, f"/root/{run}")
        await stage.customer("POST", f"/servers/{number}/reboot/")
        await stage.settle(number)
        assert await stage.has(number, f"/root/{run}")
    assert not await stage.has(number, "/root/first")
    await stage.agree(number, "active")


async def test_a_restore_whose_snapshot_is_gone_fails_and_the_server_is_as_it_was(stage: Stage) -> None:
    number = await stage.a_server("active")
    snapshot = await stage.a_snapshot(number)
    await stage.write(number, "/root/kept")
    await stage.real.delete_snapshot(f"vps-{number}", f"snap-{snapshot}")
    await stage.customer("POST", f"/snapshots/{snapshot}/restore/")
    await stage.settle(number)
    await stage.agree(number, "active")
    assert await stage.has(number, "/root/kept")
    [(status, _)] = await told(stage, "server.restore")
    assert status == "failed"


@pytest.mark.parametrize("verb", ["restore", "renew"])
async def test_a_restore_past_its_deadline_ends_and_is_not_done_later(stage: Stage, verb: str) -> None:
    number = await stage.a_server("active")
    snapshot = await stage.a_snapshot(number)
    await stage.customer("POST", f"/snapshots/{snapshot}/restore/")
    stage.engine.fail(verb, times=1, error=EngineError("refused"))
    while stage.engine.calls[verb] == 0:
        await converge(stage.context(), number, patience_s=1)
    await stage.world.sql("UPDATE server SET deadline_at = now()")
    await stage.settle(number)
    await stage.agree(number, "active")
    await stage.write(number, "/root/kept")
    await stage.customer("POST", f"/servers/{number}/reboot/")
    await stage.settle(number)
    assert await stage.has(number, "/root/kept")
    assert await told(stage, "server.restore") == [("failed", "It took too long and was given up.")]
