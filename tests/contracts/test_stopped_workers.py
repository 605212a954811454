"""A worker that is asked to end finishes what it can in time, and gives back the rest; on a SIMULATED engine."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from installation import SIMULATED, Installation, an_installation, on_simulated
from running import Running

MADE_S = 10.0  # longer than a worker that is asked to end has
PATIENCE_S = 60.0


def until(look: Callable[[], object], what: str) -> None:
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < PATIENCE_S, what
        time.sleep(0.1)


def in_hand(made: Installation) -> list[object]:
    return made.sql("SELECT id FROM procrastinate_jobs WHERE status = 'doing'")


def test_what_a_worker_cannot_finish_in_time_another_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(SIMULATED).parent))
    with an_installation(IPV4_POOL="127.66.0.0/24", NIC_PREFIX="stp") as made:
        engine, words = on_simulated(made, takes_s=MADE_S)
        try:
            made.start(apis=1, workers=1, worker=words)
            body = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}
            url = f"http://127.0.0.1:{made.ports[0]}/api/v1/servers/"
            bearer = {"Authorization": f"Bearer {made.customer().token}"}
            assert httpx2.post(url, json=body, headers=bearer, trust_env=False).status_code == 201
            until(lambda: in_hand(made), "the worker has taken it")
            began = time.monotonic()
            assert made.workers[0].end() == 0
            assert time.monotonic() - began < MADE_S, "it doesn't wait for the engine to be done"
            assert in_hand(made) == [], "no job is left in the name of a worker that is gone"
            assert made.sql("SELECT status FROM server") == [("provisioning",)]
            made.workers.append(Running(words, made.folder / "second.log").start())
            until(lambda: made.sql("SELECT status FROM server") == [("active",)], "another one makes it")
            assert made.end()["second"] == 0
        finally:
            engine.kill()
