"""Tickets for terminals: for whom, how often, and when what they opened must end. Open ones: tests/live."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from factories import Client, World
from openvps import console
from openvps.compute.terminals import api, frames, queries
from openvps.compute.terminals.queries import Taken
from openvps.core.clock import now
from openvps.engine.protocol import Away

pytestmark = pytest.mark.anyio


async def a_ticket(world: World, client: Client) -> Taken:
    """Return what a fresh ticket for a fresh server was for, once taken."""
    number = await world.a_server(client)
    answer = await client("POST", f"/servers/{number}/console/")
    assert answer.status_code == 201, answer.text
    async with world.database.begin() as conn:
        taken = await queries.take(conn, api.digest(answer.json()["ticket"]), now())
    assert taken is not None
    return taken


async def may_be_open(world: World, taken: Taken) -> bool:
    async with world.database.begin() as conn:
        return await queries.open_for(conn, taken, now()) is not None


async def test_a_ticket_is_good_once_for_thirty_seconds_and_kept_as_a_digest(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    answer = (await client("POST", f"/servers/{number}/console/")).json()
    assert answer["url"] == "ws://api.test/api/v1/console/"
    (kept,) = await world.sql("SELECT digest FROM console_ticket")
    assert bytes(kept.digest) == api.digest(answer["ticket"])
    late = now() + timedelta(seconds=31)
    async with world.database.begin() as conn:
        assert await queries.take(conn, api.digest(answer["ticket"]), late) is None
        taken = await queries.take(conn, api.digest(answer["ticket"]), now())
        assert taken == Taken(number, taken.token_id if taken else 0, None)
        assert await queries.take(conn, api.digest(answer["ticket"]), now()) is None
    entries = (await client("GET", "/account/audit/?operation=open_console")).json()["results"]
    assert [one["subject"] for one in entries] == [f"server {number}"]


async def test_tickets_that_nobody_took_are_forgotten(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await client("POST", f"/servers/{number}/console/")
    await world.sql("UPDATE console_ticket SET expires_at = now() - interval '1 s'")
    await client("POST", f"/servers/{number}/console/")
    assert len(await world.sql("SELECT 1 FROM console_ticket")) == 1


@pytest.mark.parametrize("status", ["stopped", "provisioning", "error", "suspended"])
async def test_only_an_active_server_has_a_console(world: World, status: str) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status=status)
    refused = await client("POST", f"/servers/{number}/console/")
    assert refused.status_code == 400
    assert status in refused.json()["detail"]


async def test_a_suspended_account_is_told_why(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await world.sql("UPDATE account SET suspended_at = now(), suspended_reason = 'abuse report 17'")
    refused = await client("POST", f"/servers/{number}/console/")
    assert refused.status_code == 400
    assert "abuse report 17" in refused.json()["detail"]


async def test_a_replay_gives_no_second_ticket(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    asked = {"headers": {"Idempotency-Key": "one"}}
    first, again = [(await client("POST", f"/servers/{number}/console/", **dict(asked))).json() for _ in range(2)]
    assert first["ticket"]
    assert again["ticket"] is None


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE token SET revoked_at = now()",
        "UPDATE token SET expires_at = now() - interval '1 s'",
        "UPDATE account SET disabled_at = now()",
        "UPDATE account SET suspended_at = now()",
        "UPDATE account SET unpaid_at = now()",
        "UPDATE server SET status = 'suspended'",
        "UPDATE server SET status = 'deleting', wanted = 'absent'",
        "UPDATE server SET status = 'stopping'",
    ],
)
async def test_what_ends_a_terminal(world: World, end: str) -> None:
    taken = await a_ticket(world, await world.a_client())
    assert await may_be_open(world, taken)
    await world.sql(end)
    assert not await may_be_open(world, taken)


async def test_a_terminal_of_a_session_ends_with_it(world: World) -> None:
    client = await world.a_client()
    taken = await a_ticket(world, client)
    of_session = Taken(taken.server_id, taken.token_id, b"digest")
    assert not await may_be_open(world, of_session)
    await world.sql(
        "INSERT INTO session (token_id, digest, own_token, expires_at)"
        " VALUES (:token, 'digest', false, now() + interval '1 h')",
        token=taken.token_id,
    )
    assert await may_be_open(world, of_session)


async def test_anothers_token_keeps_no_terminal_open(world: World) -> None:
    owner, stranger = await world.a_client(), await world.a_client()
    taken = await a_ticket(world, owner)
    (other,) = await world.sql("SELECT id FROM token WHERE account_id = :account", account=stranger.account_id)
    assert not await may_be_open(world, Taken(taken.server_id, other.id, None))


@dataclass
class Closing:
    """A machine's console that closes, or breaks, once a statement was run."""

    statement: str
    error: Away | None = None
    world: World | None = None

    @asynccontextmanager
    async def console(self, name: str) -> AsyncGenerator["Closing"]:
        assert name.startswith("vps-")
        yield self

    async def read(self) -> bytes:
        assert self.world is not None
        await self.world.sql(self.statement)
        if self.error is not None:
            raise self.error
        return b""

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (Closing("UPDATE server SET status = 'stopping'"), "may no longer"),
        (Closing("UPDATE account SET unpaid_at = now()"), "may no longer"),
        (Closing("UPDATE server SET status = 'stopping'", Away("gone")), "may no longer"),
        (Closing("SELECT 1"), "closed its console"),
        (Closing("SELECT 1", Away("gone")), "can't be reached"),
    ],
)
async def test_whose_console_closes_is_told_why(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Closing, why: str
) -> None:
    """The machine may be off before the next look whether the terminal may be open."""
    client = await world.a_client()
    number = await world.a_server(client)
    ticket = (await client("POST", f"/servers/{number}/console/")).json()["ticket"]

    def open_cell(*_of: object) -> Closing:
        return replace(how, world=world)

    monkeypatch.setattr(console, "open_cell", open_cell)
    at = tmp_path / "socket"
    async with await asyncio.start_unix_server(console.Consoles(world.config, world.database).serve, at):
        reader, writer = await asyncio.open_unix_connection(at)
        with closing(writer):
            await frames.write(writer, "hello", json.dumps({"ticket": ticket}).encode())
            assert await frames.read(reader) == ("open", b"")
            ended = await frames.read(reader)
            assert ended is not None
            assert ended[0] == "end"
            assert why in ended[1].decode()
