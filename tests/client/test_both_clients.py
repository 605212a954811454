"""The same client code, on a stub of the published page and on our own API."""

from typing import Any

import anyio.to_thread
import httpx2
import pytest

from factories import World
from openvps.client import AsyncClient, Client, errors
from published_stub import published_stub
from walk import awalk, walk

pytestmark = pytest.mark.anyio


class LosingAnswers(httpx2.AsyncBaseTransport):
    """Carries every request out, and loses the answers to the first few POSTs."""

    def __init__(self, world: World, posts: int) -> None:
        self.inner = httpx2.ASGITransport(app=world.app)
        self.left = posts

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self.inner.handle_async_request(request)
        if request.method == "POST" and self.left:
            await answer.aread()
            self.left -= 1
            raise httpx2.ReadError("reset")
        return answer


def client_of(world: World, token: str, transport: httpx2.AsyncBaseTransport | None = None) -> AsyncClient:
    http = httpx2.AsyncClient(transport=transport or httpx2.ASGITransport(app=world.app))
    client = AsyncClient("http://api.test/api/v1", token, http=http)
    client.endpoint.first_pause_s = 0.001
    return client


async def test_the_published_answers_are_enough() -> None:
    with published_stub() as url:
        with Client(url, "YOUR_API_TOKEN") as client:
            made, seen = await anyio.to_thread.run_sync(walk, client, 1, 5, "us-west")
        assert (made.ip_address, made.status) == ("203.0.113.10", "active")
        assert seen.resource_usage.cpu_percent == 23.5
        assert seen.uuid is None
        async with AsyncClient(url, "YOUR_API_TOKEN") as client:
            made, _ = await awalk(client, 1, 5, "us-west")
            assert made.message.startswith("Server is being provisioned")
            assert [one.id async for one in client.servers.list()] == [12345, 12346]
            with pytest.raises(errors.NotFound):
                await client.actions.get(1)
        async with AsyncClient(url, "another") as client:
            with pytest.raises(errors.Unauthenticated, match="Invalid token"):
                await client.account.get()


async def test_a_create_whose_answer_is_lost_makes_one_server(world: World) -> None:
    customer = await world.a_client()
    async with client_of(world, customer.token, LosingAnswers(world, posts=2)) as client:
        made = await client.servers.create(name="web-1", plan_id=3, os_id=3, location="us-west")
        assert [one.id async for one in client.servers.list()] == [made.id]


async def test_every_bad_field_is_in_the_exception(world: World) -> None:
    customer = await world.a_client()
    async with client_of(world, customer.token) as client:
        with pytest.raises(errors.BadRequest) as told:
            await client.servers.create(name="a b", plan_id=99, os_id=3, location="us-west")
    assert {"name", "plan_id"} <= set(told.value.fields)
    assert told.value.request_id


async def test_a_list_longer_than_a_page_is_one_iterator(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = await world.a_client()
    numbers = [await world.a_server(customer, name=f"web-{one}") for one in range(3)]
    monkeypatch.setattr("openvps.client.servers.PAGE_SIZE", 1)
    async with client_of(world, customer.token) as client:
        assert [one.id async for one in client.servers.list()] == numbers[::-1]


async def test_waiting_ends_when_it_is_done_with_the_reason_if_it_failed(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer, status="stopped")
    looks: list[Any] = []
    async with client_of(world, customer.token) as client, anyio.create_task_group() as group:

        async def fail() -> None:
            while not looks:  # until somebody waits
                await anyio.lowlevel.checkpoint()
            await world.sql("UPDATE server SET status = 'stopped' WHERE id = :id", id=number)
            await world.sql(
                "UPDATE action SET status = 'failed', error = 'the host is out of memory', started_at = now(),"
                " finished_at = now() WHERE finished_at IS NULL"
            )

        group.start_soon(fail)
        with pytest.raises(errors.Failed, match="out of memory"):
            await client.servers.start(number, wait=True, watch=looks.append)
    assert looks[0].kind == "server.start"


async def test_patience_has_an_end(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer, status="stopped")
    async with client_of(world, customer.token) as client:
        with pytest.raises(errors.NotDone, match="it goes on"):
            await client.servers.start(number, wait=True, timeout_s=0)
