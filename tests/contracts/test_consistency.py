"""`/admin/consistency-reports/` and `openvps audit` without an engine: asked for, done by a worker, kept."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from factories import Client, World
from openvps.compute.consistency import look, nights, queries
from openvps.compute.servers.context import Context
from openvps.core.clock import now
from openvps.ops import commands

pytestmark = pytest.mark.anyio


async def an_operator(world: World) -> Client:
    return await world.a_client(operator=True, permissions=("operations:*",))


async def work(world: World) -> None:
    """Do what a worker would: every report that somebody waits for."""
    async with world.database.begin() as conn:
        waiting = await queries.unfinished_reports(conn)
    for number in waiting:
        await look.keep(Context(world.database, world.config, {}), number)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "BETWEEN_S", 0.0)


async def jobs(world: World) -> list[tuple[str, str]]:
    return [
        (row[0], row[1])
        for row in await world.sql("SELECT task_name, lock FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id")
    ]


async def test_a_report_is_asked_for_made_by_a_worker_and_kept(world: World) -> None:
    operator = await an_operator(world)
    await world.sql("INSERT INTO ledger_hold (account_id, amount_micro, reference) VALUES (1, 1, 'server:4711')")
    asked = await operator("POST", "/admin/consistency-reports/", {"repair": False})
    assert asked.status_code == 201
    assert (asked.json()["status"], asked.json()["found"]) == ("queued", None)
    assert await jobs(world) == [("check_consistency", "consistency")]
    await work(world)
    shown = (await operator("GET", f"/admin/consistency-reports/{asked.json()['uuid']}/")).json()
    assert (shown["status"], shown["found"], shown["unseen"], shown["repaired"]) == ("completed", 1, 1, 0)
    assert shown["findings"][0] == {
        "kind": "hold",
        "problem": "orphan",
        "subject": "server:4711",
        "text": "credit is held for server:4711, and it needs none",
        "repair": "release it",
        "cell": None,
    }
    assert [one["cell"] for one in shown["cells_unseen"]] == ["here"]
    assert await world.sql("SELECT count(*) FROM ledger_hold") == [(1,)]
    listed = (await operator("GET", "/admin/consistency-reports/")).json()
    assert [one["id"] for one in listed["results"]] == [asked.json()["id"]]


async def test_a_report_with_repair_mends_the_rows_and_says_what(world: World) -> None:
    operator = await an_operator(world)
    await world.sql("UPDATE cell SET used_vcpus = 7")
    number = (await operator("POST", "/admin/consistency-reports/", {"repair": True})).json()["id"]
    await work(world)
    shown = (await operator("GET", f"/admin/consistency-reports/{number}/")).json()
    assert (shown["found"], shown["repaired"], shown["mended"][0]["kind"]) == (0, 1, "room")
    assert await world.sql("SELECT used_vcpus FROM cell") == [(0,)]
    told = await world.sql("SELECT operation, details FROM audit_entry WHERE operation = 'check_consistency'")
    assert told == [("check_consistency", {"repair": "true"})]


async def test_a_hold_of_a_server_that_is_there_is_no_finding_while_it_lives(world: World) -> None:
    customer = await world.a_client()
    for status in ("provisioning", "active"):
        await world.a_server(customer, status=status)
    report = await look.check(Context(world.database, world.config, {}))
    assert report.left.findings == []


async def test_a_server_that_nobody_pays_for_is_for_a_person_to_decide(world: World) -> None:
    number = await world.a_server(await world.a_client())
    await world.sql("UPDATE meter SET ended_at = now() + interval '1 hour', due_at = NULL")
    report = await look.check(Context(world.database, world.config, {}), mend=True)
    assert [(one.kind, one.subject, one.repair) for one in report.left.findings] == [("meter", str(number), None)]
    assert report.repaired == []


async def test_the_room_of_a_server_that_is_resized_is_that_of_both_sizes(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    assert (await customer("POST", f"/servers/{number}/resize/", {"plan": 1})).status_code == 200
    report = await look.check(Context(world.database, world.config, {}))
    assert report.left.findings == []


async def test_every_night_there_is_one_look_and_a_lost_one_is_taken_up(world: World) -> None:
    evening = datetime.fromisoformat("2030-01-01T22:00:00+00:00")
    for at in (evening, evening + timedelta(hours=1)):
        await nights.nightly(world.database, at)
    count = "SELECT count(*) FROM consistency_report"
    assert await world.sql(count) == [(1,)]
    await world.sql("DELETE FROM procrastinate_jobs")
    await nights.nightly(world.database, evening + timedelta(hours=4))
    assert await world.sql(count) == [(1,)], "02:00 belongs to the night before"
    assert await jobs(world) == [("check_consistency", "consistency")]
    await work(world)
    await nights.nightly(world.database, evening + timedelta(hours=5))
    assert await world.sql(count) == [(2,)]


async def test_reports_are_forgotten_after_their_time(world: World) -> None:
    operator = await an_operator(world)
    await operator("POST", "/admin/consistency-reports/")
    async with world.database.begin() as conn:
        await queries.forget_reports(conn, now() - timedelta(days=1))
    assert (await operator("GET", "/admin/consistency-reports/")).json()["count"] == 1
    async with world.database.begin() as conn:
        await queries.forget_reports(conn, now() + timedelta(seconds=1))
    assert (await operator("GET", "/admin/consistency-reports/")).json()["count"] == 0


async def test_the_command_says_that_it_could_not_look_and_shows_the_last_look(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        return commands.main(["audit", *arguments])

    assert await asyncio.to_thread(run, "--last") == 2
    await world.sql("UPDATE cell SET used_vcpus = 7")
    capsys.readouterr()
    assert await asyncio.to_thread(run, "-o", "json") == 2
    said = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in said["findings"]] == ["room"]
    assert [one["cell"] for one in said["unseen"]] == ["here"]
    assert await asyncio.to_thread(run) == 2
    told = capsys.readouterr()
    assert "count it anew" in told.out
    assert "here couldn't be looked at" in told.err
    for table in ("image", "address", "address_pool", "cell"):
        await world.sql(f"DELETE FROM {table}")
    assert await asyncio.to_thread(run) == 0
    assert await asyncio.to_thread(run, "--last") == 0
    assert "agree" in capsys.readouterr().err
