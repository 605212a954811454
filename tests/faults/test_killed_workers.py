"""Real workers that are killed (SIGKILL) at a commit, and what the next one makes of it."""

import asyncio
import time
from pathlib import Path

import pytest
from stage import Stage

from killed import Kill, a_mortal_worker, on_its_way
from running import a_worker

pytestmark = [pytest.mark.anyio, pytest.mark.live]

TAKEN_UP_S = 30.0  # what is promised of a dead worker's jobs

KILLS = {
    # goal: status before, status after, when the worker dies
    "create": (None, "active", Kill(2, "before", "_look_once")),
    "start": ("stopped", "active", Kill(1, "before", "_agree")),
    "stop": ("active", "stopped", Kill(2, "after", "_look_once")),
    "reboot": ("active", "active", Kill(3, "before", "_look_once")),
    "resize": ("active", "active", Kill(1, "after", "_agree")),
    "delete": ("active", None, Kill(1, "after", "ensure_row_gone")),
}


async def test_a_worker_killed_in_the_middle_of_each_goal_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    """Kill one worker for each goal, one after the other; then one has to find everything."""
    had = {goal: before for goal, (before, _, _) in KILLS.items() if before}
    made = await asyncio.gather(*(stage.a_server(before) for before in had.values()))
    servers = {"create": 0, **dict(zip(had, made, strict=True))}
    await stage.at_its_engine()
    for goal, (_, _, kill) in KILLS.items():
        worker = a_mortal_worker(tmp_path / f"{goal}.log", kill, servers[goal])
        worker.says("worker_ready")
        servers[goal] = await on_its_way(stage.customer, goal, servers[goal])
        await asyncio.to_thread(worker.dies)
    died_at = time.monotonic()
    worker = a_worker(tmp_path / "worker.log")
    worker.says("worker_ready")
    try:
        await stage.at_rest(within_s=60)
        assert time.monotonic() - died_at < TAKEN_UP_S
    finally:
        code = await asyncio.to_thread(worker.end)
    assert code == 0
    stage.made.append(servers["create"])
    for goal, (_, after, _) in KILLS.items():
        assert await stage.status(servers[goal]) == after, goal
    assert await stage.unsound() == []


async def test_a_job_whose_worker_lives_and_doesnt_know_of_it_is_taken_up(stage: Stage, tmp_path: Path) -> None:
    """As when the database goes away while it gives a job to a worker, or is told that one is done."""
    number = await stage.a_server("stopped")
    await stage.at_its_engine()
    worker = a_worker(tmp_path / "worker.log")
    worker.says("worker_ready")
    try:
        await stage.customer("POST", f"/servers/{number}/start/")
        await stage.at_rest(within_s=30)
        await stage.customer("POST", f"/servers/{number}/stop/")
        # Whether the worker is at it already or not: afterwards there is one in its name that it doesn't know.
        await stage.world.sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id)"
            " SELECT 'default', 'converge_server', 'lost', 'lost', jsonb_build_object('server_id', CAST(:id AS int)),"
            " 'doing', id FROM procrastinate_workers",
            id=number,
        )
        await asyncio.to_thread(worker.says, "jobs_lost", 30)
        await stage.at_rest(within_s=30)
        began = time.monotonic()
        while await stage.world.sql("SELECT 1 FROM procrastinate_jobs"):
            assert time.monotonic() - began < TAKEN_UP_S
            await asyncio.sleep(0.1)
    finally:
        worker.end()
    assert await stage.status(number) == "stopped"


async def test_a_dead_workers_job_doesnt_keep_the_sweep_from_its_work(stage: Stage, tmp_path: Path) -> None:
    """Where another job for the same server waits already: there is room for one only."""
    number = await stage.create()
    await stage.at_its_engine()
    await stage.world.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status)"
        " SELECT 'default', 'converge_server', name, name, jsonb_build_object('server_id', CAST(:id AS int)),"
        " status::procrastinate_job_status FROM (VALUES ('doing'), ('todo')) AS jobs (status),"
        " concat('server:', CAST(:id AS text)) AS name",
        id=number,
    )
    worker = a_worker(tmp_path / "worker.log")
    try:
        await stage.at_rest(within_s=30)
    finally:
        worker.end()
    assert await stage.status(number) == "active"
