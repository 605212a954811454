"""`openvps audit` on a real engine: all that is planted is found and nothing else, and a repair leaves none."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from stage import Stage

from factories import World
from lab import Lab
from openvps.compute.consistency.look import check, look
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.engine.incus import Incus
from openvps.engine.incus.client import Client
from openvps.engine.protocol import Away, Engine, EngineError, MachineSpec, Missing
from openvps.ops.run import run
from patience import until
from pytest_process import NUMBER, OF
from tiny_image import build_tiny_image

pytestmark = [pytest.mark.anyio, pytest.mark.live]

NOWHERE = 1 << 40
STRAYS = count(1 + NUMBER, OF)


@pytest.fixture(autouse=True)
def _settings_of_the_stage(monkeypatch: pytest.MonkeyPatch, worker_id: str, tmp_path: Path) -> None:
    """Have addresses and interfaces that no other test has."""
    monkeypatch.setenv(
        "OPENVPS_IPV4_POOL", f"10.93.{100 + int(worker_id.removeprefix('gw').removeprefix('master') or 0)}.0/24"
    )
    monkeypatch.setenv("OPENVPS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OPENVPS_NIC_PREFIX", "aud")
    monkeypatch.setenv("OPENVPS_STOP_GRACE_S", "2")


@pytest.fixture
async def world(world: World) -> World:
    """Return the world without the image that is in no engine."""
    await world.sql("DELETE FROM image")
    return world


@pytest.fixture
def client(lab: Lab, worker_id: str) -> Client:
    return Client(f"{lab.project}-audit-{worker_id}", socket=Path(lab.socket))


@pytest.fixture
async def engine(lab: Lab, client: Client, worker_id: str) -> AsyncGenerator[Engine]:
    """Return an engine with a project of its own: a repair would take other tests' machines for nobody's."""
    project = f"{lab.project}-audit-{worker_id}"
    features = dict.fromkeys(("features.images", "features.profiles", "features.storage.volumes"), "true")
    await client.run("POST", "/1.0/projects", json={"name": project, "config": features})
    yield Incus(client, project, lab.pool)
    await until(lambda: emptied(client, lab.pool))
    with contextlib.suppress(Missing):
        await until(lambda: client.run("DELETE", f"/1.0/projects/{project}"))
    await client.close()


async def emptied(client: Client, pool: str) -> None:
    """Delete what the project has, or what is left of it."""
    for machine in await client.get("/1.0/instances", recursion="1"):
        path = f"/1.0/instances/{machine['name']}"
        with contextlib.suppress(Missing):
            if machine["status"] == "Running":
                await client.run("PUT", f"{path}/state", json={"action": "stop", "force": True})
            await client.run("DELETE", path)
    for kind in ("images", "profiles", f"storage-pools/{pool}/volumes/custom"):
        for path in await client.get(f"/1.0/{kind}"):
            if not path.partition("?")[0].endswith("/default"):
                with contextlib.suppress(Missing):
                    await client.run("DELETE", path.partition("?")[0])


@pytest.fixture
async def tiny_image(engine: Engine, tmp_path: Path) -> str:
    return await an_image(engine, tmp_path, "")


async def an_image(engine: Engine, folder: Path, note: str) -> str:
    build_tiny_image(folder / "tiny.tar", note=f"audit {os.environ.get('PYTEST_XDIST_WORKER', '')} {note}")
    return await until(lambda: engine.add_image(folder / "tiny.tar"))


async def a_machine(stage: Stage, name: str) -> None:
    """Have the engine make a machine that no row names."""
    number = next(STRAYS)
    spec = MachineSpec(
        name=name,
        image=stage.image,
        vcpus=1,
        memory_mib=128,
        storage_gb=1,
        hostname=name,
        addresses=[f"10.93.0.{number}"],
        nic=f"str{number}",
    )
    await stage.real.create(spec)


def forget(lab: Lab, project: str, machine: str) -> None:
    """Have the engine's own database lose a machine, whose disk stays."""
    of = f"name = '{machine}' AND project_id = (SELECT id FROM projects WHERE name = '{project}')"
    lines = f"DELETE FROM instances WHERE {of}; DELETE FROM storage_volumes WHERE {of}"
    folder = {"INCUS_DIR": str(Path(lab.socket).parent)}
    run(["incus", "admin", "sql", "global", lines], env=folder)


async def recovered(client: Client, lab: Lab) -> None:
    """Have the engine do what `incus admin recover` asks of it, once no other test's disk is half made."""
    for _ in range(10):
        with contextlib.suppress(EngineError):
            await client.answer("POST", "/internal/recover/import", json={"pools": [{"name": lab.pool}]})
            return
        await asyncio.sleep(1)
    raise TimeoutError


async def found(stage: Stage, **options: Any) -> set[tuple[str, str, str]]:
    report = await check(stage.context(), between_s=0.1, **options)
    assert report.left.unseen == {}
    return {(one.kind, one.problem, one.subject) for one in report.left.findings}


async def in_the_engine(
    stage: Stage, client: Client, folder: Path, lab: Lab, server: int
) -> set[tuple[str, str, str]]:
    """Plant what is nobody's in the engine."""
    number = (await stage.world.sql("SELECT nextval('server_id_seq')"))[0][0]
    await a_machine(stage, f"vps-{number}")
    await a_machine(stage, "stray")
    for name in (f"snap-{NOWHERE}", f"backup-{NOWHERE}"):
        await stage.real.snapshot(f"vps-{server}", name)
    failed = await stage.a_snapshot(server)
    await stage.world.sql("UPDATE snapshot SET status = 'failed' WHERE id = :id", id=failed)
    image = await an_image(stage.real, folder, "nobody's")
    await client.run("POST", f"/1.0/storage-pools/{lab.pool}/volumes/custom", json={"name": "data"})
    await client.run("POST", "/1.0/profiles", json={"name": "fast"})
    return {
        ("machine", "orphan", f"vps-{number}"),
        ("machine", "orphan", "stray"),
        ("snapshot", "orphan", f"vps-{server}/snap-{NOWHERE}"),
        ("snapshot", "orphan", f"vps-{server}/backup-{NOWHERE}"),
        ("snapshot", "orphan", f"vps-{server}/snap-{failed}"),
        ("image", "orphan", image),
        ("volume", "orphan", "data"),
        ("profile", "orphan", "fast"),
    }


async def out_of_the_engine(stage: Stage, server: int, gone: int) -> set[tuple[str, str, str]]:
    """Take from the engine what rows name, and give a machine an address that isn't its own."""
    snapshot = await stage.a_snapshot(server)
    await stage.real.delete_snapshot(f"vps-{server}", f"snap-{snapshot}")
    await stage.real.kill(f"vps-{gone}")
    await stage.real.delete(f"vps-{gone}")
    await stage.world.sql(
        "INSERT INTO image (cell_id, system_id, fingerprint, built_at) VALUES (1, 3, :it, '2000-01-01')", it="e" * 64
    )
    return {
        ("snapshot", "missing", f"vps-{server}/snap-{snapshot}"),
        ("server", "missing", str(gone)),
        ("image", "missing", "e" * 64),
    }


async def in_the_rows(stage: Stage, server: int, stuck: int) -> set[tuple[str, str, str]]:
    """Plant rows that contradict each other."""
    sql = stage.world.sql
    pool = "SELECT id FROM address_pool WHERE family(network) = {} LIMIT 1"
    await sql(f"INSERT INTO address (ip, pool_id, family) VALUES ('fd00::9:9', ({pool.format(6)}), 6)")
    leaked = await sql(
        "UPDATE address SET rests_until = now() + interval '9 years' WHERE ip ="
        " (SELECT ip FROM address WHERE server_id IS NULL AND family = 4 LIMIT 1) RETURNING host(ip)"
    )
    rest = "UPDATE address SET server_id = NULL, rests_until = now() + interval '1 hour'"
    await sql(f"{rest} WHERE server_id = :id AND family = 4", id=stuck)
    account = stage.customer.account_id
    await sql(
        f"INSERT INTO ledger_hold (account_id, amount_micro, reference) VALUES ({account}, 1, 'server:{NOWHERE}')"
    )
    await sql(
        "INSERT INTO meter (server_id, account_id, name, started_at, due_at)"
        f" VALUES ({NOWHERE}, {account}, 'gone', now(), now())"
    )
    action = "INSERT INTO action (account_id, kind, subject_id, exclusive) VALUES (:a, :kind, :id, true) RETURNING id"
    gone = await sql(action, a=account, kind="server.start", id=NOWHERE)
    forgotten = await sql(action, a=account, kind="server.start", id=server)
    job = await sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args)"
        f" VALUES ('default', 'converge_server', 'server:{NOWHERE}', '{{\"server_id\": {NOWHERE}}}') RETURNING id"
    )
    await sql("UPDATE procrastinate_events SET at = now() - interval '2 minutes' WHERE job_id = :id", id=job[0][0])
    await sql("UPDATE cell SET used_vcpus = used_vcpus + 3, used_memory_mib = used_memory_mib + 5")
    snapshot = await stage.a_snapshot(stuck, settled=False)
    backup = await stage.a_backup(server, settled=False)
    await sql("UPDATE server SET status = 'starting', deadline_at = NULL, look_at = NULL WHERE id = :id", id=stuck)
    await sql("UPDATE snapshot SET look_at = NULL WHERE id = :id", id=snapshot)
    await sql("UPDATE backup SET look_at = NULL WHERE id = :id", id=backup)
    unfinished = await sql("SELECT id FROM action WHERE finished_at IS NULL AND kind ~ '^(snapshot|backup)'")
    return {
        ("address", "orphan", "fd00::9:9"),
        ("address", "orphan", leaked[0][0]),
        ("address", "missing", str(stuck)),
        ("hold", "orphan", f"server:{NOWHERE}"),
        ("meter", "orphan", str(NOWHERE)),
        ("action", "orphan", str(gone[0][0])),
        ("action", "stuck", str(forgotten[0][0])),
        *(("action", "stuck", str(one[0])) for one in unfinished),
        ("job", "orphan", str(job[0][0])),
        ("room", "differs", "here"),
        ("server", "stuck", str(stuck)),
        ("snapshot", "stuck", str(snapshot)),
        ("backup", "stuck", str(backup)),
    }


async def test_all_that_is_planted_is_found_and_nothing_else_and_a_repair_leaves_none(
    stage: Stage, client: Client, tmp_path: Path, lab: Lab
) -> None:
    server, gone, stuck = [await stage.a_server("active") for _ in range(3)]
    assert await found(stage) == set()
    planted = await in_the_engine(stage, client, tmp_path, lab, server)
    planted |= await out_of_the_engine(stage, server, gone)
    planted |= await in_the_rows(stage, server, stuck)
    assert await found(stage) == planted
    assert await found(stage) == planted, "a look without repair changes nothing"

    report = await check(stage.context(), mend=True, between_s=0.1)
    assert report.left.findings == []
    assert {(one.kind, one.problem, one.subject) for one in report.repaired} == planted
    for number in (server, gone, stuck):
        await stage.settle(number)
    assert [await stage.status(one) for one in (server, gone, stuck)] == ["active", "error", "active"]
    for one in await stage.world.sql("SELECT id FROM snapshot WHERE look_at IS NOT NULL"):
        await stage.settle_snapshot(one[0])
    # It was given another address while it had no other: now that it rests, its machine is seen to have the old one.
    assert await found(stage) == {("address", "differs", f"vps-{stuck}")}
    assert await found(stage, mend=True) == set()
    own = await stage.world.sql("SELECT host(ip) FROM address WHERE server_id = :id", id=stuck)
    inventory = await stage.real.inventory()
    assert inventory.addresses[f"vps-{stuck}"] == {one[0] for one in own}


async def test_a_machine_of_another_database_is_shown_and_left_alone(stage: Stage) -> None:
    await a_machine(stage, f"vps-{NOWHERE}")
    wanted = {("machine", "orphan", f"vps-{NOWHERE}")}
    assert await found(stage, mend=True) == wanted
    assert await stage.real.look(f"vps-{NOWHERE}") is not None
    await stage.world.sql("SELECT setval('server_id_seq', :it)", it=NOWHERE)
    assert await found(stage, mend=True) == set()
    assert await stage.real.look(f"vps-{NOWHERE}") is None


async def test_disks_that_the_engine_has_forgotten_are_found_and_a_servers_is_not_given_up(
    stage: Stage, client: Client, lab: Lab
) -> None:
    number = await stage.a_server("stopped")
    await a_machine(stage, "stray")
    await stage.real.kill("stray")
    for name in (f"vps-{number}", "stray"):
        forget(lab, client.project, name)
    wanted = {("server", "missing", str(number)), ("volume", "orphan", "container/stray")}
    assert await found(stage) == wanted
    assert await found(stage, mend=True) == wanted, "a server whose disk is there isn't said to have lost it"
    assert await stage.status(number) == "stopped"

    await recovered(client, lab)
    assert await found(stage) == {("machine", "orphan", "stray")}
    assert await found(stage, mend=True) == set()
    await stage.agree(number, "stopped")


async def test_what_is_on_its_way_is_no_finding_at_any_step(stage: Stage) -> None:
    number = await stage.create()

    async def steps() -> None:
        while await stage.due(number):
            await converge(stage.context(), number, patience_s=0)
            assert (await look(stage.context())).findings == []

    await steps()
    snapshot = await stage.a_snapshot(number, settled=False)
    assert (await look(stage.context())).findings == []
    await stage.settle_snapshot(snapshot)
    for path in ("resize/", "restore"):
        if path == "restore":
            await stage.customer("POST", f"/snapshots/{snapshot}/restore/")
        else:
            assert (await stage.customer("POST", f"/servers/{number}/{path}", {"plan": 1})).status_code == 200
        await steps()
    await stage.customer("DELETE", f"/servers/{number}/")
    await steps()
    assert (await look(stage.context())).findings == []


async def test_servers_that_come_and_go_meanwhile_are_no_findings(stage: Stage) -> None:
    done = asyncio.Event()

    async def come_and_go() -> None:
        for _ in range(4):
            number = await stage.create()
            await stage.settle(number)
            await stage.customer("DELETE", f"/servers/{number}/")
            await stage.settle(number)
        done.set()

    churning = asyncio.create_task(come_and_go())
    looks = 0
    while not done.is_set():
        assert await found(stage) == set()
        looks += 1
        await asyncio.sleep(0)
    await churning
    assert looks > 1


async def test_a_cell_that_is_away_is_not_taken_for_an_empty_one(stage: Stage) -> None:
    await stage.a_server("active")
    stage.engine.fail("inventory", error=Away("no answer"), times=1)
    report = await check(stage.context(), between_s=0.1, mend=True)
    assert (report.exit_code, report.left.unseen) == (2, {"here": "no answer"})
    assert report.left.findings == []
    nobody: Context = replace(stage.context(), engines={})
    assert (await check(nobody)).exit_code == 2
