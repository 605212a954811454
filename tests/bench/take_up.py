"""How soon a dead worker's jobs are taken up: two workers, one killed (SIGKILL) while it holds jobs, many times.

On a SIMULATED engine whose operations take long enough for jobs to be held. A job is taken up when another worker
works at its server, or has brought it to its end; what is measured is from the kill to that. The killed one is
started again only then, and the other one is killed in the next round.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable

import httpx2
from tables import say, spread, table

from factories import Client
from installation import Installation, an_installation, on_simulated
from killed import on_its_way
from running import Running

SERVERS = 24
TAKES_S = 2.0
TAKEN_UP_S = 30.0  # at p95
PATIENCE_S = 120.0
LOOK_S = 0.05
AT_WORK = "SELECT id FROM server WHERE look_at IS NOT NULL"
WORKERS = "SELECT id FROM procrastinate_workers"
HELD = (
    "SELECT (args->>'server_id')::int FROM procrastinate_jobs"
    " WHERE status = 'doing' AND task_name = 'converge_server' AND worker_id {} %s"
)


def run(*, rounds: int) -> bool:
    """Measure; returns whether the target was met and nothing was lost."""
    load = f"{os.getloadavg()[0]:.2f}"
    with an_installation(IPV4_POOL="127.65.0.0/20", NIC_PREFIX="sim", CREATES_AT_ONCE="64") as made:
        engine, worker = on_simulated(made, takes_s=TAKES_S)
        try:
            made.start(apis=1, workers=0)
            took = asyncio.run(_rounds(made, rounds, worker))
            left = made.sql("SELECT id, status FROM server WHERE status NOT IN ('active', 'stopped')")
            failed = made.sql("SELECT kind, error FROM action WHERE status <> 'completed'")
            made.end()
            deadlocks = made.deadlocks()
        finally:
            made.kill()
            engine.kill()
    p95 = statistics.quantiles(took, n=20, method="inclusive")[18]
    met = p95 <= TAKEN_UP_S
    say("Until a killed worker's job was taken up by the other one, on a SIMULATED engine, seconds:\n")
    head = ["kills", "jobs held", "min", "median", "p95", "max"]
    say(table(head, [[f"{rounds}", f"{len(took)}", *spread(took)]]) + "\n")
    verdict = f"Target at most {TAKEN_UP_S:.0f} s at p95: {'met' if met else '**missed**'}."
    say(f"{verdict} Load average {load} at the start, {os.getloadavg()[0]:.2f} at the end; deadlocks: {deadlocks}.")
    for one in (*left, *failed):
        say(f"WRONG: {one}")
    return met and not left and not failed and not deadlocks


async def _rounds(made: Installation, rounds: int, worker: tuple[str, ...]) -> list[float]:
    made_for = await made.a_customer()
    base = f"http://127.0.0.1:{made.ports[0]}/api/v1"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=60) as http:
        return await _killed(made, rounds, worker, Client(made_for.account_id, made_for.token, http))


async def _killed(made: Installation, rounds: int, worker: tuple[str, ...], customer: Client) -> list[float]:
    workers = [await asyncio.to_thread(_started, made, Running(worker, made.folder / f"w{one}.log")) for one in "ab"]
    servers = [await on_its_way(customer, "create", 0) for _ in range(SERVERS)]
    await asyncio.to_thread(_until, lambda: not made.sql(AT_WORK))
    took: list[float] = []
    began = time.monotonic()
    for number in range(rounds):
        victim, own = workers.pop(0)
        for server in servers:
            await on_its_way(customer, "reboot", server)
        held = await asyncio.to_thread(_kill, made, victim, own)
        took += await asyncio.to_thread(_taken_up, made, held, own)
        workers.append(await asyncio.to_thread(_started, made, victim))
        await asyncio.to_thread(_until, lambda: not made.sql(AT_WORK))
        left = (time.monotonic() - began) / (number + 1) * (rounds - number - 1)
        say(f"{number + 1} of {rounds}: {len(held)} jobs held; {left / 60:.0f} min left")
    return took


def _started(made: Installation, worker: Running) -> tuple[Running, int]:
    """Start a worker; returns it and the number by which it holds jobs."""
    known = {row[0] for row in made.sql(WORKERS)}
    made.workers.append(worker)
    worker.start()
    new = set[int]()

    def there() -> bool:
        new.update({row[0] for row in made.sql(WORKERS)} - known)
        return bool(new)

    _until(there)
    return worker, new.pop()


def _kill(made: Installation, victim: Running, own: int) -> set[int]:
    """Kill a worker while it holds jobs; returns their servers."""
    _until(lambda: len(made.sql(HELD.format("="), own)) > 1)
    victim.kill()
    return {row[0] for row in made.sql(HELD.format("="), own)}


def _taken_up(made: Installation, held: set[int], own: int) -> list[float]:
    """Return after how many seconds each of some servers was another worker's, or had come to its end."""
    began, took = time.monotonic(), dict[int, float]()

    def all_taken() -> bool:
        others = {row[0] for row in made.sql(HELD.format("<>"), own)}
        working = {row[0] for row in made.sql(AT_WORK)}
        for server in held - set(took):
            if server in others or server not in working:
                took[server] = time.monotonic() - began
        return len(took) == len(held)

    _until(all_taken)
    return list(took.values())


def _until(seen: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < PATIENCE_S, "it was never seen"
        time.sleep(LOOK_S)
