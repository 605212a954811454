"""One lane of the matrix of deaths: some goals, on an installation of its own.

    python fault_lane.py SOCKET PROJECT NUMBER MOST OUT GOAL...    # interfaces are named after the project's end

Each worker is killed (SIGKILL) right before or right after its n-th commit for one server, for every n until the goal
is reached without one, MOST at most. Nobody clears up: a last worker finds what they left. Then an api is killed at
the commit of each goal's request, and its client repeats. What was seen is written into OUT as it is seen, a line of
JSON each; a kill that goes wrong is noted and stops nothing else.
"""

import asyncio
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx2

from factories import Client
from installation import WORKER, Installation, an_installation, on_incus
from killed import Kill, a_mortal_api, a_mortal_worker, on_its_way
from openvps.core.db import Database
from openvps.engine.incus import open_engine
from running import Running, free_port, listens
from sound import unsound

GOALS: dict[str, tuple[str | None, str | None]] = {
    # goal: status before, status after
    "create": (None, "active"),
    "start": ("stopped", "active"),
    "stop": ("active", "stopped"),
    "reboot": ("active", "active"),
    "resize": ("active", "active"),
    "delete": ("active", None),
}
SIDES: tuple[Literal["before", "after"], ...] = ("before", "after")
PATIENCE_S = 180.0
AT_REST = "SELECT 1 FROM server WHERE look_at IS NOT NULL"
NEXT = "SELECT last_value + is_called::int FROM {}"


@dataclass(frozen=True)
class Death:
    """One kill, and when it was, in seconds since the epoch."""

    kill: Kill
    server: int
    at: float


@dataclass
class Lane:
    """An installation with one api, whose workers are killed."""

    made: Installation
    customer: Client
    socket: Path
    project: str
    most: int
    out: Path
    used: set[int] = field(default_factory=set[int])  # servers that had their death for the present goal

    def tell(self, kind: str, **what: Any) -> None:
        """Write down what was seen."""
        with self.out.open("a") as out:
            out.write(json.dumps({"kind": kind, **what}) + "\n")

    async def goal(self, goal: str) -> None:
        """Have the workers of a goal killed, and see what became of their servers."""
        self.used.clear()
        before, after = GOALS[goal]
        wrong: list[str] = []
        deaths: list[Death] = []
        commits, whole = 0, False
        try:
            await self._supply(before, 2 * self.most)
            for at in range(1, self.most + 1):
                died = [death for side in SIDES if (death := await self._tried(goal, Kill(at, side), wrong))]
                deaths += died
                if not died:
                    whole = True
                    break
                commits = at
            await self._settled()
        except Exception:  # noqa: BLE001 -- a row that fails stops no other
            wrong.append(_trace())
        reached, named, took = await self._judged(goal, after, deaths, wrong)
        self.tell(
            "goal",
            goal=goal,
            commits=commits,
            whole=whole,
            killed=len(deaths),
            reached=reached,
            named=named,
            took=took,
            wrong=wrong,
        )

    async def _tried(self, goal: str, kill: Kill, wrong: list[str]) -> Death | None:
        """Kill once; what goes wrong with it is noted, and the next one is tried."""
        try:
            death = await self._killed(goal, kill)
        except Exception:  # noqa: BLE001 -- a row that fails stops no other
            wrong.append(f"{goal} {kill}: {_trace()}")
            death = Death(kill, 0, 0.0)
        self.tell("kill", goal=goal, at=kill.at, side=kill.side, died=death is not None)
        return death

    async def _killed(self, goal: str, kill: Kill) -> Death | None:
        """Kill a worker on the way of a server; None where it was there before the commit came."""
        server = self._next() if goal == "create" else self._spare(GOALS[goal][0])
        self.used.add(server)
        log = self.made.folder / f"{goal}-{kill.at}-{kill.side}.log"
        worker = a_mortal_worker(log, kill, server)
        try:
            await asyncio.to_thread(worker.says, "worker_ready")
            assert await on_its_way(self.customer, goal, server) == server
            at_rest = f"{AT_REST} AND id = {server}"
            await self._until(lambda: worker.code is not None or not self.made.sql(at_rest))
            if worker.code is None:
                await asyncio.sleep(0.5)  # right after its last commit
            died_at = time.time()
            if worker.code is None:
                await asyncio.to_thread(worker.end)
                return None
            assert worker.code == -signal.SIGKILL, f"it ended with {worker.code}: {log.read_text()[-2000:]}"
            return Death(kill, server, died_at)
        finally:
            if worker.code is None:
                worker.kill()

    async def _supply(self, status: str | None, number: int) -> None:
        """Have so many servers where the goal begins; those that earlier goals left are taken first."""
        if status is None:
            return
        maker = Running(WORKER, self.made.folder / "maker.log").start()
        try:
            ready = self._at(status)
            other = self._at("active" if status == "stopped" else "stopped")[: max(0, number - len(ready))]
            for server in other:
                await on_its_way(self.customer, "stop" if status == "stopped" else "start", server)
            made = [await on_its_way(self.customer, "create", 0) for _ in range(number - len(ready) - len(other))]
            await self._until(lambda: not self.made.sql(AT_REST))
            if status == "stopped":
                for server in made:
                    await on_its_way(self.customer, "stop", server)
                await self._until(lambda: not self.made.sql(AT_REST))
        finally:
            await asyncio.to_thread(maker.end)

    def _at(self, status: str) -> list[int]:
        rest = "SELECT id FROM server WHERE status = %s AND look_at IS NULL AND plan_id <> 2 ORDER BY id"
        return [row[0] for row in self.made.sql(rest, status)]

    def _spare(self, status: str | None) -> int:
        return next(one for one in self._at(status or "") if one not in self.used)

    def _next(self) -> int:
        """Return the id that the next server will have: nobody else makes any here."""
        [(sequence,)] = self.made.sql("SELECT pg_get_serial_sequence('server', 'id')")
        [(number,)] = self.made.sql(NEXT.format(sequence))
        return number

    async def _settled(self) -> None:
        """Have a worker that nobody kills find everything."""
        last = Running(WORKER, self.made.folder / "last.log").start()
        try:
            await self._until(lambda: not self.made.sql(AT_REST))
        finally:
            await asyncio.to_thread(last.end)

    async def _judged(
        self, goal: str, after: str | None, deaths: list[Death], wrong: list[str]
    ) -> tuple[int, int, list[float]]:
        """Return how many reached the goal, how many a named error, and after how many seconds each."""
        reached, named, took = 0, 0, list[float]()
        for death in deaths:
            if not death.server:
                continue
            rows = self.made.sql(
                "SELECT status, error, extract(epoch FROM finished_at) FROM action"
                " WHERE kind = %s AND subject_id = %s ORDER BY id DESC LIMIT 1",
                f"server.{goal}",
                death.server,
            )
            if not rows or rows[0][2] is None:
                wrong.append(f"{goal} {death.kill}: the action of server {death.server} is {rows}")
                continue
            [(ended, error, at)] = rows
            answer = await self.customer("GET", f"/servers/{death.server}/")
            status = answer.json()["status"] if answer.status_code == 200 else None
            took.append(max(0.0, float(at) - death.at))
            if (status, ended) == (after, "completed"):
                reached += 1
            elif ended == "failed" and error:
                named += 1
            else:
                wrong.append(f"{goal} {death.kill}: server {death.server} is {status}, its action {ended}")
        wrong += [f"after {goal}: {one}" for one in await self._unsound()]
        return reached, named, took

    async def api(self, goal: str, side: Literal["before", "after"]) -> None:
        """Kill an api at the commit of a goal's request, and repeat what it didn't answer."""
        wrong: list[str] = []
        try:
            await self._api(goal, side, wrong)
            wrong += await self._unsound()
        except Exception:  # noqa: BLE001 -- a row that fails stops no other
            wrong.append(_trace())
        self.tell("api", goal=goal, side=side, wrong=wrong)

    async def _api(self, goal: str, side: Literal["before", "after"], wrong: list[str]) -> None:
        self.used.clear()
        status = GOALS[goal][0]
        await self._supply(status, 1)
        server = 0 if status is None else self._spare(status)
        port = free_port()
        api = a_mortal_api(self.made.folder / f"api-{goal}-{side}.log", port, Kill(1, side))
        try:
            await asyncio.to_thread(listens, api, port)
            count = "SELECT count(*) FROM action WHERE kind = %s"
            [(seen,)] = self.made.sql(count, f"server.{goal}")
            key = {"Idempotency-Key": f"{goal}-{side}"}
            try:
                base = f"http://127.0.0.1:{port}/api/v1"
                async with httpx2.AsyncClient(base_url=base, trust_env=False) as http:
                    await on_its_way(Client(0, self.customer.token, http), goal, server, headers=key)
                wrong.append(f"an api that dies {side} its commit has answered")
            except httpx2.HTTPError:
                await asyncio.to_thread(api.dies)
        finally:
            if api.code is None:
                api.kill()
        if goal != "delete" or side == "before":  # what is deleted is gone: a second time it is 404
            await on_its_way(self.customer, goal, server, headers=key)
        [(now,)] = self.made.sql(count, f"server.{goal}")
        if now != seen + 1:
            wrong.append(f"{now - seen} actions, one was asked for")
        await self._settled()

    async def _unsound(self) -> list[str]:
        database = Database(self.made.database_url)
        engine = open_engine(self.socket, self.project, self.project)
        try:
            return await unsound(database, engine)
        finally:
            await engine.close()
            await database.close()

    async def _until(self, seen: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not await asyncio.to_thread(seen):
            assert time.monotonic() - began < PATIENCE_S, self.made.sql("SELECT id, status, look_at FROM server")
            await asyncio.sleep(0.1)


def _trace() -> str:
    """Return the last lines of what was raised."""
    return "".join(traceback.format_exc().splitlines(keepends=True)[-4:]).strip()


async def _run(lane: Lane, goals: list[str]) -> None:
    base = f"http://127.0.0.1:{lane.made.ports[0]}/api/v1"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
        lane.customer = Client(lane.customer.account_id, lane.customer.token, http)
        for goal in goals:
            await lane.goal(goal)
        for goal in goals:
            for side in SIDES:
                await lane.api(goal, side)


def main() -> int:
    """Run a lane to its end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    socket, project, number, most, out, *goals = sys.argv[1:]
    pool = f"10.95.{16 * int(number)}.0/20"
    with an_installation(IPV4_POOL=pool, NIC_PREFIX=project[-4:], STOP_GRACE_S="2") as made:
        on_incus(made, Path(socket), project)
        made.start(apis=1, workers=0)
        lane = Lane(made, made.customer(), Path(socket), project, int(most), Path(out))
        asyncio.run(_run(lane, goals))
        made.end()
        lane.tell("end", deadlocks=made.deadlocks())
    return 0


if __name__ == "__main__":
    sys.exit(main())
