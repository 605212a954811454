"""A real api that is killed (SIGKILL) at its commit, and a client that repeats what wasn't answered."""

import asyncio
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from factories import Client, World
from killed import Kill, a_mortal_api
from running import free_port, listens

pytestmark = pytest.mark.anyio

CREATE = ("POST", "/servers/", {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"})


@pytest.mark.parametrize(("goal", "side"), [("create", "before"), ("create", "after"), ("stop", "after")])
async def test_what_is_repeated_with_its_key_after_a_death_is_done_once(
    world: World, tmp_path: Path, goal: str, side: Literal["before", "after"]
) -> None:
    client = await world.a_client()
    server = 0 if goal == "create" else await world.a_server(client)
    method, path, body = CREATE if goal == "create" else ("POST", f"/servers/{server}/stop/", None)
    key = {"Idempotency-Key": "the-same"}
    port = free_port()
    dying = a_mortal_api(tmp_path / "dying.log", port, Kill(1, side))
    await asyncio.to_thread(listens, dying, port)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False) as http:
        with pytest.raises(httpx2.HTTPError):
            await Client(client.account_id, client.token, http)(method, path, body, headers=key)
    await asyncio.to_thread(dying.dies)
    committed = await world.sql(f"SELECT 1 FROM action WHERE kind = 'server.{goal}' AND finished_at IS NULL")
    assert len(committed) == (1 if side == "after" else 0)
    answers = [await client(method, path, body, headers=key) for _ in range(2)]  # of the api in this process
    assert [one.status_code for one in answers] == [201 if goal == "create" else 200] * 2
    assert answers[0].json() == answers[1].json()
    replayed = [one.headers.get("Idempotent-Replayed") for one in answers]
    assert replayed == ["true" if side == "after" else None, "true"]
    for question in (
        "SELECT 1 FROM server",
        f"SELECT 1 FROM action WHERE kind = 'server.{goal}'",
        "SELECT 1 FROM ledger_hold",
        "SELECT 1 FROM meter",
        "SELECT 1 FROM address WHERE server_id IS NOT NULL AND family = 4",
        "SELECT 1 FROM procrastinate_jobs",
    ):
        assert len(await world.sql(question)) == 1, question
