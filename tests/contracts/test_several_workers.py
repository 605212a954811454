"""Several real workers on one database: what is to be done once is done once, and who is told to end leaves nothing.

Their engine is SIMULATED, in a process of its own; how real machines fare is in tests/faults/.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from factories import ED25519, Client, World
from installation import Installation, on_simulated
from openvps.compute.backups.queries import DAY_S
from openvps.worker import NIGHTS_S
from running import Running, a_worker
from simulated_process import Reached
from sound import unsound

pytestmark = pytest.mark.anyio

PATIENCE_S = 60.0  # for what takes seconds
GRACE_S = 8.0  # that a worker gives its jobs, told to end
WITHIN_S = 20.0  # from its end: within seconds, on a machine that has other things to do
BILLING_S = 1


@pytest.fixture(autouse=True)
def _settings_of_several(monkeypatch: pytest.MonkeyPatch, worker_id: str) -> None:
    """Give each of pytest's processes addresses of its own, whose port 22 is the simulated servers'."""
    number = 160 + int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 159
    monkeypatch.setenv("OPENVPS_IPV4_POOL", f"127.{number}.0.0/24")
    monkeypatch.setenv("OPENVPS_BILLING_INTERVAL_S", f"{BILLING_S}")
    monkeypatch.setenv("OPENVPS_STOP_GRACE_S", "1")
    monkeypatch.setenv("OPENVPS_SAMPLE_INTERVAL_S", "5")


REGISTERED = "SELECT id FROM procrastinate_workers ORDER BY id"
UNDER_WAY = "SELECT id, status FROM server WHERE look_at IS NOT NULL"
AT_WORK = "SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND task_name = 'converge_server'"
NOTED = (
    "CREATE TABLE turns (name text, at timestamptz)",
    """CREATE FUNCTION note_turn() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO turns VALUES (NEW.name, NEW.taken_at); RETURN NULL; END $$""",
    "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON turn FOR EACH ROW EXECUTE FUNCTION note_turn()",
)
AN_HOUR_AGO = {
    "turn": ["taken_at"],
    "procrastinate_workers": ["last_heartbeat"],
    "server": ["look_at", "deadline_at"],
    "action": ["created_at"],
    "cell": ["seen_at"],
}


async def until(
    world: World, question: str, seen: Callable[[list[object]], bool], within_s: float = PATIENCE_S
) -> None:
    """Ask the database until what it answers is as it should be."""
    began = time.monotonic()
    while not seen(rows := await world.sql(question)):
        assert time.monotonic() - began < within_s, rows
        await asyncio.sleep(0.05)


class Several:
    """Workers on a world's database, and the engine that they share."""

    def __init__(self, world: World, engine: Running, words: tuple[str, ...], folder: Path) -> None:
        self.world, self.engine, self._words, self._folder = world, engine, words, folder
        self.workers: list[Running] = []

    async def worker(self) -> Running:
        """Start one more."""
        one = Running(self._words, self._folder / f"worker-{len(self.workers)}.log").start()
        self.workers.append(one)
        await until(self.world, REGISTERED, lambda rows: len(rows) == len(self.workers))
        return one

    async def at_rest(self, within_s: float = PATIENCE_S) -> None:
        await until(
            self.world, "SELECT id, status FROM server WHERE look_at IS NOT NULL", lambda rows: not rows, within_s
        )

    async def a_server(self, customer: Client) -> int:
        """Have the workers make a server."""
        number = await self.world.a_server(customer, status="provisioning")
        await self.at_rest()
        return number

    async def unsound(self) -> list[str]:
        return await unsound(self.world.database, Reached(str(self._folder / "simulated.sock")))


@asynccontextmanager
async def several(world: World, folder: Path, *, takes_s: float) -> AsyncGenerator[Several]:
    """Lend an engine whose operations take so long, and what starts workers on it."""
    url = world.config.database_url
    assert url is not None
    engine, words = await asyncio.to_thread(on_simulated, Installation(folder, url), takes_s=takes_s)
    made = Several(world, engine, words, folder)
    try:
        yield made
        for one in made.workers:
            if one.code is None:
                assert await asyncio.to_thread(one.end) == 0
    finally:
        for one in (*made.workers, engine):
            if one.code is None:
                one.kill()


async def test_what_is_to_be_done_at_a_time_is_done_by_one_of_several_workers(world: World, tmp_path: Path) -> None:
    """The night's backups and its look at everything are begun once, and each turn is one worker's."""
    customer = await world.a_client()
    for _ in range(3):
        await world.a_server(customer, backups_enabled=True)
    await world.sql("UPDATE server SET ready_at = now() - CAST(:days AS interval)", days=f"{2 * DAY_S} seconds")
    for statement in NOTED:
        await world.sql(statement)
    workers = [a_worker(tmp_path / f"{name}.log") for name in ("one", "two")]  # whose engine is away
    try:
        await until(world, "SELECT 1 FROM turns WHERE name = 'billing'", lambda rows: len(rows) >= 4)
        await until(world, "SELECT 1 FROM turns WHERE name = 'nights'", bool)
        # A server that something else has in hand then is left to the next turn.
        await until(world, "SELECT 1 FROM backup", lambda rows: len(rows) >= 3, within_s=3 * NIGHTS_S)
    finally:
        assert [await asyncio.to_thread(one.end) for one in workers] == [0, 0]
    assert await world.sql("SELECT server_id, count(*) FROM backup GROUP BY 1 HAVING count(*) <> 1") == []
    assert await world.sql("SELECT count(*) FROM consistency_report") == [(1,)]
    twice = "SELECT server_id, at, count(*) FROM ledger_entry WHERE kind = 'hour' GROUP BY 1, 2 HAVING count(*) <> 1"
    assert await world.sql(twice) == []
    assert await world.sql("SELECT count(*) FROM ledger_entry WHERE kind = 'hour'") == [(3,)]
    for name, interval_s in (("billing", BILLING_S), ("nights", NIGHTS_S)):
        turns = await world.sql("SELECT at FROM turns WHERE name = :name ORDER BY at", name=name)
        apart = [(later.at - one.at).total_seconds() for one, later in pairwise(turns)]
        assert not [one for one in apart if one < 0.9 * interval_s], name


async def test_a_worker_that_is_told_to_end_finishes_its_job(world: World, tmp_path: Path) -> None:
    customer = await world.a_client()
    await customer("POST", "/ssh-keys/", {"name": "key", "public_key": ED25519})
    async with several(world, tmp_path, takes_s=0.5) as made:
        worker = await made.worker()
        number = await made.a_server(customer)
        await customer("POST", f"/servers/{number}/reboot/")
        await until(world, AT_WORK, bool)
        assert await asyncio.to_thread(worker.end) == 0
        assert await world.sql("SELECT status FROM server WHERE look_at IS NULL") == [("active",)]
        assert await world.sql("SELECT status FROM action ORDER BY id") == [("completed",)] * 2
        assert await made.unsound() == []


async def test_what_a_worker_cant_finish_in_its_grace_another_one_takes_up(world: World, tmp_path: Path) -> None:
    customer = await world.a_client()
    async with several(world, tmp_path, takes_s=2.5 * GRACE_S) as made:
        workers = [await made.worker() for _ in range(2)]
        by_number = dict(zip([row.id for row in await world.sql(REGISTERED)], workers, strict=True))
        await world.a_server(customer, status="provisioning")
        await until(world, AT_WORK, bool)
        [(holder,)] = await world.sql(AT_WORK.replace("1", "worker_id", 1))
        assert await asyncio.to_thread(by_number[holder].end) == 0
        await until(world, f"{AT_WORK} AND worker_id <> {holder}", bool, WITHIN_S)
        await made.at_rest()
        assert await world.sql("SELECT status FROM server") == [("active",)]
        assert await made.unsound() == []


async def test_after_the_clock_jumped_ahead_everything_goes_on(world: World, tmp_path: Path) -> None:
    """All that was noted before is an hour old now: turns, heartbeats of workers that live, looks and deadlines."""
    customer = await world.a_client()
    async with several(world, tmp_path, takes_s=1.0) as made:
        for _ in range(2):
            await made.worker()
        settled = await made.a_server(customer)
        late = await world.a_server(customer, status="provisioning")
        await customer("POST", f"/servers/{settled}/reboot/")
        await until(world, AT_WORK, lambda rows: len(rows) == 2)
        async with world.database.begin() as conn:
            for table, moments in AN_HOUR_AGO.items():
                back = ", ".join(f"{one} = {one} - interval '1 hour'" for one in moments)
                await conn.exec_driver_sql(f"UPDATE {table} SET {back}")
        await made.at_rest()
        shown = {row.id: (row.status, row.error) for row in await world.sql("SELECT id, status, error FROM server")}
        # Whose time was over by the new clock has the end that its way names, and says why; or it was quicker.
        assert shown[settled][0] in {"stopped", "active"}
        assert shown[late][0] == "active" or shown[late] == ("error", "It took too long and was given up.")
        ended = await world.sql("SELECT status, error FROM action WHERE status <> 'completed'")
        assert {tuple(row) for row in ended} <= {("failed", "It took too long and was given up.")}
        assert await made.unsound() == []
        await until(world, "SELECT 1 FROM cell WHERE seen_at > now() - interval '1 minute'", bool)
        new = await made.a_server(customer)  # and everything goes on
        assert (await customer("GET", f"/servers/{new}/")).json()["status"] == "active"
