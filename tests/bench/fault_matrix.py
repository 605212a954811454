"""The whole matrix of deaths: a real worker is killed at each commit on the way to each goal, an api at each answer.

Each worker is killed (SIGKILL) right before or right after its n-th commit for one server, for every n until the goal
is reached without one. Nobody clears up: a last worker finds what they left. Then the tests of tests/faults/ run on
an engine of their own. The report is Markdown; the last one is kept in docs/faults.md.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ET  # of our own pytest
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from tables import say, table

from factories import Client
from incusd import an_incusd
from installation import Installation, an_installation, on_incus
from killed import Kill, a_mortal_api, a_mortal_worker, on_its_way
from openvps.core.db import Database
from openvps.engine.incus import open_engine
from running import Running, free_port, listens
from sound import unsound

LETTERS = "".join(chr(ord("a") + os.getpid() // 26**place % 26) for place in range(3))
PROJECT = f"openvps-kill-{LETTERS}"  # the tests' interfaces are named after its end
GOALS = {
    # goal: status before, status after, how often its commits are tried at most
    "create": (None, "active", 12),
    "start": ("stopped", "active", 12),
    "stop": ("active", "stopped", 12),
    "reboot": ("active", "active", 12),
    "resize": ("active", "active", 12),
    "delete": ("active", None, 12),
}
PATIENCE_S = 120.0
TAKEN_UP_S = 30.0  # at p95


@dataclass(frozen=True)
class Death:
    """One kill, and how its server fared."""

    goal: str
    kill: Kill
    server: int
    at: float  # seconds since the epoch


class Matrix:
    """An installation with one api, whose workers are killed."""

    def __init__(self, made: Installation, customer: Client, socket: Path) -> None:
        self.made, self.customer, self.socket = made, customer, socket
        self.wrong: list[str] = []
        self.rows: list[list[str]] = []
        self.taken_up: list[float] = []

    async def all(self, *, quick: bool) -> None:
        for goal in GOALS:
            await self._goal(goal, most=2 if quick else GOALS[goal][2])

    async def _goal(self, goal: str, *, most: int) -> None:
        before, after, _ = GOALS[goal]
        spare = await self._settled(before, 2 * most)
        deaths: list[Death] = []
        commits = 0
        for at in range(1, most + 1):
            died = [death for side in ("before", "after") if (death := await self._kill(goal, at, side, spare))]
            deaths += died
            if not died:
                break
            commits = at
        said = self.made.folder / f"last-{goal}.log"
        last = Running([sys.executable, "-P", "-m", "openvps", "worker"], said).start()
        try:
            await self._until(lambda: not self.made.sql("SELECT 1 FROM server WHERE look_at IS NOT NULL"))
        finally:
            await asyncio.to_thread(last.end)
        await self._judge(goal, after, commits, deaths)

    async def _settled(self, status: str | None, number: int) -> list[int]:
        """Return servers that are where the goal begins, made by a worker that nobody kills."""
        if status is None:
            return [0] * number
        log = self.made.folder / "maker.log"
        maker = Running([sys.executable, "-P", "-m", "openvps", "worker"], log).start()
        servers = [await on_its_way(self.customer, "create", 0) for _ in range(number)]
        await self._until(lambda: not self.made.sql("SELECT 1 FROM server WHERE look_at IS NOT NULL"))
        if status == "stopped":
            for server in servers:
                await on_its_way(self.customer, "stop", server)
            await self._until(lambda: not self.made.sql("SELECT 1 FROM server WHERE look_at IS NOT NULL"))
        await asyncio.to_thread(maker.end)
        return servers

    async def _kill(self, goal: str, at: int, side: str, spare: list[int]) -> Death | None:
        """Kill a worker on the way of a server; None where it was there before the commit came."""
        server = spare.pop()
        kill = Kill(at, "before" if side == "before" else "after")
        log = self.made.folder / f"{goal}-{at}-{side}.log"
        # For create the server isn't known yet: whichever is looked at counts, and no other is on its way.
        if not server:
            await self._until(
                lambda: not self.made.sql("SELECT 1 FROM server WHERE look_at IS NOT NULL"), helped=True
            )
        worker = a_mortal_worker(log, kill, server)
        await asyncio.to_thread(worker.says, "worker_ready")
        server = await on_its_way(self.customer, goal, server)
        at_rest = f"SELECT 1 FROM server WHERE id = {server} AND look_at IS NOT NULL"
        await self._until(lambda: worker.code is not None or not self.made.sql(at_rest))
        if worker.code is None:
            await asyncio.sleep(0.3)  # right after its last commit
        if worker.code is None:
            await asyncio.to_thread(worker.end)
            return None
        if worker.code != -9:
            self.wrong.append(f"{goal}: the worker ended with {worker.code}, see {log}")
        return Death(goal, kill, server, time.time())

    async def _judge(self, goal: str, after: str | None, commits: int, deaths: list[Death]) -> None:
        reached, named, took = 0, 0, list[float]()
        for death in deaths:
            answer = await self.customer("GET", f"/servers/{death.server}/")
            status = answer.json()["status"] if answer.status_code == 200 else None
            rows = self.made.sql(
                "SELECT status, error, extract(epoch FROM finished_at) FROM action"
                " WHERE kind = %s AND subject_id = %s ORDER BY id DESC LIMIT 1",
                f"server.{goal}",
                death.server,
            )
            [(ended, error, at)] = rows
            took.append(max(0.0, float(at) - death.at))
            if (status, ended) == (after, "completed"):
                reached += 1
            elif ended == "failed" and error:
                named += 1
            else:
                self.wrong.append(f"{goal} {death.kill}: server {death.server} is {status}, its action {ended}")
        self.wrong += [f"after {goal}: {one}" for one in await self._unsound()]
        self.taken_up += took
        p95 = statistics.quantiles(took, n=20, method="inclusive")[18] if len(took) > 1 else took[0]
        spread = [f"{one:.1f}" for one in (statistics.median(took), p95, max(took))]
        self.rows.append([goal, f"{commits}", f"{len(deaths)}", f"{reached}", f"{named}", *spread])

    async def apis(self) -> None:
        """Kill an api at the commit of each goal's request, and repeat what it didn't answer."""
        for goal in GOALS:
            for side in ("before", "after"):
                [server] = await self._settled(GOALS[goal][0], 1)
                port = free_port()
                kill = Kill(1, "before" if side == "before" else "after")
                api = a_mortal_api(self.made.folder / f"api-{goal}-{side}.log", port, kill)
                await asyncio.to_thread(listens, api, port)
                seen = self.made.sql("SELECT count(*) FROM action WHERE kind = %s", f"server.{goal}")[0][0]
                key = {"Idempotency-Key": f"{goal}-{side}"}
                try:
                    async with httpx2.AsyncClient(
                        base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False
                    ) as http:
                        await on_its_way(Client(0, self.customer.token, http), goal, server, headers=key)
                    self.wrong.append(f"{goal}: an api that dies {side} its commit has answered")
                except httpx2.HTTPError:
                    await asyncio.to_thread(api.dies)
                if goal != "delete" or side == "before":  # what is deleted is gone: a second time it is 404
                    await on_its_way(self.customer, goal, server, headers=key)
                now = self.made.sql("SELECT count(*) FROM action WHERE kind = %s", f"server.{goal}")[0][0]
                if now != seen + 1:
                    self.wrong.append(f"{goal}: {now - seen} actions, one was asked for, api killed {side}")
                await self._settled("active", 0)
                self.wrong += [f"after {goal}, api killed {side}: {one}" for one in await self._unsound()]

    async def _unsound(self) -> list[str]:
        database, engine = Database(self.made.database_url), open_engine(self.socket, PROJECT, PROJECT)
        try:
            return await unsound(database, engine)
        finally:
            await engine.close()
            await database.close()

    async def _until(self, seen: Callable[[], bool], *, helped: bool = False) -> None:
        """Wait until it is seen; `helped` by a worker that isn't killed."""
        helper = None
        began = time.monotonic()
        while not await asyncio.to_thread(seen):
            if helped and helper is None:
                log = self.made.folder / "helper.log"
                helper = Running([sys.executable, "-P", "-m", "openvps", "worker"], log).start()
            assert time.monotonic() - began < PATIENCE_S, self.made.sql("SELECT id, status FROM server")
            await asyncio.sleep(0.05)
        if helper is not None:
            await asyncio.to_thread(helper.end)


def run(*, quick: bool) -> bool:
    """Run the matrix; returns whether everything was as it must be."""
    moment, load = f"{datetime.now(UTC):%Y-%m-%d %H:%M}", f"{os.getloadavg()[0]:.2f}"
    say(f"Seen on {moment} UTC at commit {_commit()}, load average {load}.\n")
    with an_incusd(project=PROJECT) as daemon:
        with an_installation(IPV4_POOL="10.95.0.0/20", NIC_PREFIX="kil", STOP_GRACE_S="2") as made:
            on_incus(made, daemon, PROJECT)
            made.start(apis=1, workers=0)
            matrix = Matrix(made, made.customer(), daemon.socket)
            asyncio.run(_with_api(matrix, quick=quick))
        head = ["goal", "commits", "workers killed", "goal reached", "named error", "median, s", "p95, s", "most, s"]
        say("A worker killed right before and right after each commit, until the server was settled again:\n")
        say(table(head, matrix.rows) + "\n")
        p95 = statistics.quantiles(matrix.taken_up, n=20, method="inclusive")[18]
        met = p95 <= TAKEN_UP_S
        verdict = "met" if met else "**missed**"
        say(f"p95 of all {len(matrix.taken_up)}: {p95:.1f} s; target at most {TAKEN_UP_S:.0f} s: {verdict}.\n")
        said = "one action each" if not any("api" in one for one in matrix.wrong) else "see below"
        say(f"An api killed right before and right after the commit of each goal, its client repeating: {said}.\n")
        for one in matrix.wrong:
            say(f"WRONG: {one}")
        return _engine_faults(daemon.socket, quick=quick) and met and not matrix.wrong


async def _with_api(matrix: Matrix, *, quick: bool) -> None:
    base = f"http://127.0.0.1:{matrix.made.ports[0]}/api/v1"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
        matrix.customer = Client(matrix.customer.account_id, matrix.customer.token, http)
        await matrix.all(quick=quick)
        await matrix.apis()


def _engine_faults(socket: Path, *, quick: bool) -> bool:
    """Run the tests of faults on this engine, and count them by file."""
    report = Path(f"/tmp/openvps-faults-{os.getpid()}.xml")  # noqa: S108 -- ours, and removed
    where = {"SOCKET": str(socket), "PROJECT": PROJECT, "POOL": PROJECT, "IMAGE": "none"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={report}"),
            *(["tests/faults/test_killed_workers.py"] if quick else ["tests/faults"]),
        ],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("OPENVPS_")},
            **{f"OPENVPS_TEST_{key}": value for key, value in where.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    cases: dict[str, list[bool]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 -- of our own pytest
        failed = case.find("failure") is not None or case.find("error") is not None
        cases.setdefault(case.attrib["classname"].rpartition(".")[2], []).append(not failed)
    report.unlink()
    say("The tests of tests/faults/, on the light image:\n")
    rows = [[f"`{name}`", f"{len(seen)}", f"{sum(seen)}"] for name, seen in sorted(cases.items())]
    say(table(["file", "cases", "passed"], rows))
    if done.returncode:
        say(done.stdout[-3000:])
    return done.returncode == 0


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
