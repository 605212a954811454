"""Two api and two worker processes on one PostgreSQL under a steady load, one of each killed on the way.

An open load: requests begin on the clock, whatever the answers do. Who isn't answered (its api was killed) asks the
other one, as behind a load balancer, with the same Idempotency-Key. At the end every answer is held against the
database: no 5xx but 503 with Retry-After, nothing done twice, nothing that was answered lost.
"""

import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tables import say, table

from factories import Client
from incusd import an_incusd
from installation import Installation, an_installation, on_incus, on_simulated
from openvps.core.db import Database
from openvps.engine.incus import open_engine
from sound import unsound

PROJECT = f"openvps-soak{os.getpid() % 10000}"
CONNECTIONS = 24  # to each api
ANSWER_S = 30.0
SERVERS = 20
OUT_S = 2.0  # how long a killed process stays away, as its supervisor would have it
SETTLED_S = 120.0
TRIES = 200


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: bytes
    body: Any


@dataclass
class Wire:
    """Connections to one api, used in turn."""

    port: int
    free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None]

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer. Raises OSError, EOFError or TimeoutError where none came."""
        pair = await self.free.get()
        kept = None
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = pair or await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = b""
                if b"content-length:" in head:
                    body = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
                if b"connection: close" not in head:
                    kept = (reader, writer)
                return Answer(int(head[9:12]), head, json.loads(body) if body else None)
        finally:
            self.free.put_nowait(kept)


@dataclass
class Soak:
    """The load and what it saw."""

    made: Installation
    customer: Client
    servers: list[int]
    creating: float  # share of creates
    random: random.Random
    wires: list[Wire] = field(default_factory=list[Wire])
    statuses: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    again: int = 0  # asked again, of the other api
    late_ms: list[float] = field(default_factory=list[float])
    written: dict[int, int] = field(default_factory=dict[int, int])  # of each server, the last name answered 200
    powered: Counter[str] = field(default_factory=Counter[str])  # by kind, answered 200
    created: list[int] = field(default_factory=list[int])
    locks: dict[int, asyncio.Lock] = field(default_factory=dict[int, asyncio.Lock])
    number: int = 0
    behind_ms: list[float] = field(default_factory=list[float])  # how late requests were begun, by this process
    took_s: float = 0.0

    async def run(self, rate: float, seconds: float) -> None:
        """Begin `rate` requests a second."""
        for port in self.made.ports:
            queue = asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None]()
            for _ in range(CONNECTIONS):
                queue.put_nowait(None)
            self.wires.append(Wire(port, queue))
        loop = asyncio.get_running_loop()
        began = loop.time()
        under_way: set[asyncio.Task[None]] = set()
        for step in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + step / rate - loop.time()))
            self.behind_ms.append((loop.time() - began - step / rate) * 1e3)
            task = asyncio.create_task(self._one(loop.time()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        self.took_s = loop.time() - began

    async def _one(self, due: float) -> None:
        draw = self.random.random()
        power, write, create = 0.01, 0.04, self.creating
        if draw < create:
            await self._create(due)
        elif draw < create + power:
            await self._power(due)
        elif draw < create + power + write:
            await self._write(due)
        else:
            await self._read(due)

    async def _read(self, due: float) -> None:
        server = self.random.choice(self.servers)
        path = self.random.choices(
            ["/servers/", f"/servers/{server}/", f"/servers/{server}/actions/", "/account/usage/"], [2, 6, 1, 1]
        )[0]
        await self._ask("GET", path, None, due, {200})

    async def _write(self, due: float) -> None:
        server = self.random.choice(self.servers)
        async with self.locks.setdefault(server, asyncio.Lock()):  # one after the other: the last one is the last
            self.number += 1
            number = self.number
            body = {"name": f"soak-{number}", "tags": [f"t{number}"]}
            if (await self._ask("PATCH", f"/servers/{server}/", body, due, {200})).status == 200:
                self.written[server] = number

    async def _power(self, due: float) -> None:
        server, kind = self.random.choice(self.servers), self.random.choice(["reboot", "stop", "start"])
        self.number += 1
        answer = await self._ask(
            "POST", f"/servers/{server}/{kind}/", None, due, {200, 400}, key=f"power-{self.number}"
        )
        if answer.status == 200:
            self.powered[kind] += 1

    async def _create(self, due: float) -> None:
        self.number += 1
        body = {"name": f"made-{self.number}", "plan_id": 3, "os_id": 3, "location": "us-west"}
        answer = await self._ask("POST", "/servers/", body, due, {201}, key=f"create-{self.number}")
        if answer.status == 201:
            self.created.append(answer.body["id"])

    async def _ask(
        self, method: str, path: str, body: Any, due: float, expected: set[int], *, key: str | None = None
    ) -> Answer:
        """Ask until somebody answers with anything but 503."""
        request = self._bytes(method, path, body, key)
        first = self.random.randrange(len(self.wires))
        for attempt in range(TRIES):
            try:
                answer = await self.wires[(first + attempt) % len(self.wires)].ask(request)
            except (OSError, EOFError):
                self.again += 1
                await asyncio.sleep(0.05)
                continue
            self.statuses[f"{answer.status}"] += 1
            if answer.status == 503 and b"retry-after:" in answer.headers:
                await asyncio.sleep(0.5)
                continue
            if answer.status == 409 and b"retry-after:" in answer.headers:  # its first request may still run
                await asyncio.sleep(0.5)
                continue
            self.late_ms.append((asyncio.get_running_loop().time() - due) * 1e3)
            if answer.status not in expected:
                self.wrong.append(f"{method} {path}: {answer.status} {answer.body}")
            return answer
        self.wrong.append(f"{method} {path}: nobody answered {TRIES} times")
        return Answer(0, b"", None)

    def _bytes(self, method: str, path: str, body: Any, key: str | None) -> bytes:
        data = json.dumps(body).encode() if body is not None else b""
        lines = [
            f"{method} /api/v1{path} HTTP/1.1",
            "Host: soak.test",
            f"Authorization: Bearer {self.customer.token}",
            f"Content-Length: {len(data)}",
            *(["Content-Type: application/json"] if data else []),
            *([f"Idempotency-Key: {key}"] if key else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + data


def run(*, rate: float, seconds: float, simulated: bool) -> bool:
    """Soak an installation; returns whether all was as it must be."""
    what = "a SIMULATED engine" if simulated else f"{SERVERS} real servers"
    say(f"## {rate:.0f} requests a second for {seconds:.0f} s, {what}\n")
    if simulated:
        with an_installation(IPV4_POOL="127.64.0.0/20", NIC_PREFIX="sim") as made:
            engine, worker = on_simulated(made, takes_s=0.2)
            try:
                return _run(made, worker, rate, seconds, creating=0.1, socket=None)
            finally:
                made.kill()
                engine.kill()
    with an_incusd(project=PROJECT) as daemon, an_installation(IPV4_POOL="10.94.0.0/20", NIC_PREFIX="soak") as made:
        on_incus(made, daemon.socket, PROJECT)
        return _run(made, None, rate, seconds, creating=0.0, socket=daemon.socket)


def _run(
    made: Installation,
    worker: tuple[str, ...] | None,
    rate: float,
    seconds: float,
    *,
    creating: float,
    socket: Path | None,
) -> bool:
    made.start(apis=2, workers=2, **({"worker": worker} if worker else {}))
    customer = made.customer()
    servers = asyncio.run(_twenty(made, customer))
    soak = Soak(made, customer, servers, creating, random.Random(1))  # noqa: S311 -- no secret
    load = f"{os.getloadavg()[0]:.2f}"
    asyncio.run(_beside(soak, rate, seconds))
    wrong = soak.wrong[:20] + asyncio.run(_held_against(soak, socket))
    codes = made.end()
    wrong += [f"{name} ended with {code}" for name, code in codes.items() if code not in {0, -15}]
    if deadlocks := made.deadlocks():
        wrong.append(f"PostgreSQL saw {deadlocks} deadlocks")
    late = statistics.quantiles(soak.late_ms, n=100)
    rows = [
        ["requests answered", f"{len(soak.late_ms)}"],
        *([f"of them {status}", f"{count}"] for status, count in sorted(soak.statuses.items())),
        ["asked again, of the other api", f"{soak.again}"],
        ["power actions", f"{sum(soak.powered.values())}"],
        ["servers made on the way", f"{len(soak.created)}"],
        ["answered within, median, ms", f"{late[49]:.0f}"],
        ["answered within, p99, ms", f"{late[98]:.0f}"],
        ["begun later than asked for, p99, ms", f"{statistics.quantiles(soak.behind_ms, n=100)[98]:.0f}"],
        ["requests a second", f"{len(soak.late_ms) / soak.took_s:.0f}"],
        ["deadlocks that PostgreSQL saw", f"{deadlocks}"],
        ["load average at the start", load],
        ["load average at the end", f"{os.getloadavg()[0]:.2f}"],
        ["wrong", f"{len(wrong)}"],
    ]
    say(table(["", "seen"], rows) + "\n")
    for one in wrong:
        say(f"WRONG: {one}")
    return not wrong


async def _twenty(made: Installation, customer: Client) -> list[int]:
    """Make the servers that power is given to and taken from."""
    soak = Soak(made, customer, [], 1.0, random.Random(2), number=-SERVERS)  # noqa: S311 -- no secret
    await soak.run(10, SERVERS / 10)
    assert len(soak.created) == SERVERS, soak.wrong
    await _at_rest(made)
    return soak.created


async def _beside(soak: Soak, rate: float, seconds: float) -> None:
    """Kill one api after a third of the time and one worker after a half; both are started again."""

    async def kill(what: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        one = {"api": soak.made.apis, "worker": soak.made.workers}[what][0]
        await asyncio.to_thread(one.kill)
        await asyncio.sleep(OUT_S)
        one.start()

    await asyncio.gather(soak.run(rate, seconds), kill("api", seconds / 3), kill("worker", seconds / 2))


async def _at_rest(made: Installation) -> float:
    began = time.monotonic()
    while left := await asyncio.to_thread(made.sql, "SELECT id, status FROM server WHERE look_at IS NOT NULL"):
        assert time.monotonic() - began < SETTLED_S, f"still on their way: {left[:10]}"
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def _held_against(soak: Soak, socket: Path | None) -> list[str]:
    """Return what the database says otherwise than the answers did."""
    made = soak.made
    await _at_rest(made)
    wrong: list[str] = []
    names = {row[0]: (row[1], row[2]) for row in made.sql("SELECT id, name, tags FROM server")}
    for server, number in soak.written.items():
        if names[server] != (f"soak-{number}", [f"t{number}"]):
            wrong.append(f"server {server} is called {names[server]}, answered last was soak-{number}")
    for kind in ("reboot", "stop", "start"):
        [(count,)] = made.sql("SELECT count(*) FROM action WHERE kind = %s", f"server.{kind}")
        if count != soak.powered[kind]:
            wrong.append(f"{count} actions {kind}, answered were {soak.powered[kind]}")
    if sorted(names) != sorted([*soak.servers, *soak.created]):
        wrong.append(f"{len(names)} servers, answered were {len(soak.servers) + len(soak.created)}")
    for status, count in made.sql("SELECT status, count(*) FROM action GROUP BY status"):
        if status != "completed":
            wrong.append(f"{count} actions {status}")
    database = Database(made.database_url)
    if socket is not None:
        engine = open_engine(socket, PROJECT, PROJECT)
    else:
        from simulated_process import Reached  # noqa: PLC0415 -- it brings the worker's modules

        engine = Reached(str(made.folder / "simulated.sock"))
    wrong += await unsound(database, engine)
    await engine.close()
    await database.close()
    return wrong
