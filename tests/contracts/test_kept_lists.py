"""Lists answered from memory: the third of the same, and never one in which something has changed."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Column
from sqlalchemy.sql import visitors

from factories import Client, World
from openvps.compute.servers import counts, kept_lists, search
from openvps.compute.servers.entry import ENTRY
from openvps.schema import server

pytestmark = pytest.mark.anyio

LIST = "/servers/?page_size=100"
NEVER_CHANGE = {"id", "uuid", "created_at"}

CHANGES = {
    "name": "UPDATE server SET name = 'other'",
    "address freed": "UPDATE address SET server_id = NULL WHERE family = 4",
    "address gone": "DELETE FROM address WHERE family = 6",
    "deleted": "UPDATE server SET wanted = 'absent'",
    "status": "UPDATE server SET status = 'stopped'",
    "error": "UPDATE server SET error = 'why'",
    "ready": "UPDATE server SET ready_at = NULL",
    "tags": "UPDATE server SET tags = '{a,b}'",
    "time": "UPDATE server SET updated_at = updated_at + interval '1 hour'",
    "size": "UPDATE server SET vcpus = 7, memory_mib = 7, storage_gb = 7",
    "plan": "UPDATE server SET plan_id = 2",
    "plan's name": "UPDATE plan SET name = 'other'",
    "location's name": "UPDATE location SET name = 'other'",
    "system's name": "UPDATE system SET name = 'other'",
    "cell away": "UPDATE cell SET away_at = now()",
    "cell not seen": "UPDATE cell SET seen_at = now() - interval '1 hour'",
}


def from_memory() -> float:
    return REGISTRY.get_sample_value("openvps_kept_lists_total") or 0.0


async def kept(customer: Client, path: str = LIST, **more: Any) -> dict[str, Any]:
    """Ask until the list is answered from memory, and return it."""
    for _ in range(2):
        assert (await customer("GET", path, **more)).status_code == 200
    before = from_memory()
    answer = await customer("GET", path, **more)
    assert from_memory() == before + 1
    return answer.json()


async def fresh(world: World, customer: Client) -> dict[str, Any]:
    """Return the list as another token is told it, for the first time."""
    another = await world.a_client(account_id=customer.account_id)
    before = from_memory()
    answer = await another("GET", LIST)
    assert from_memory() == before
    return answer.json()


async def test_the_third_of_the_same_list_comes_from_memory_and_is_the_same(world: World) -> None:
    customer = await world.a_client()
    await world.a_server(customer, tags=["a"])
    first = await customer("GET", LIST)
    second = await customer("GET", LIST)
    before = from_memory()
    third = await customer("GET", LIST)
    assert from_memory() == before + 1
    assert first.json() == second.json() == third.json()
    own = {"x-request-id", "ratelimit-remaining", "ratelimit-reset", "date"}
    heads = [{name: value for name, value in one.headers.items() if name not in own} for one in (first, third)]
    assert heads[0] == heads[1]
    assert int(third.headers["ratelimit-remaining"]) == int(first.headers["ratelimit-remaining"]) - 2
    again = await customer("GET", LIST, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, from_memory()) == (304, b"", before + 2)
    head = await customer("HEAD", LIST)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])


@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_is_seen_by_the_next_request(world: World, change: str) -> None:
    customer = await world.a_client()
    await world.a_server(customer)
    await world.sql("UPDATE cell SET seen_at = now()")
    before = await kept(customer)
    await world.sql(CHANGES[change])
    answer = await customer("GET", LIST)
    assert answer.json() != before
    assert answer.json() == await fresh(world, customer)
    assert await kept(customer) == answer.json()


async def test_what_another_customer_does_changes_nothing(world: World) -> None:
    customer, another = await world.a_client(), await world.a_client()
    await world.a_server(customer)
    before = await kept(customer)
    await world.a_server(another)
    assert await kept(another) != before
    count = from_memory()
    assert (await customer("GET", LIST)).json() == before
    assert from_memory() == count + 1


async def test_folding_the_counts_keeps_what_was_written_meanwhile(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    await kept(customer)
    for name in ("one", "two"):
        assert (await customer("PATCH", f"/servers/{number}/", {"name": name})).status_code == 200
        async with world.database.begin() as conn:
            await counts.add_up(conn)
        assert (await customer("GET", LIST)).json()["results"][0]["name"] == name
        assert (await kept(customer))["results"][0]["name"] == name
    assert await world.sql("SELECT count(*), sum(n) FROM server_count") == [(1, 1)]


async def test_a_change_that_is_committed_late_is_seen(world: World) -> None:
    """Numbers that are given out before the commit would hide it: a later one would have been seen already."""
    customer = await world.a_client()
    one, two = [await world.a_server(customer, name=name) for name in ("one", "two")]
    async with world.database.begin() as late:
        await late.execute(server.update().where(server.c.id == one).values(name="late"))
        await world.sql("UPDATE server SET name = 'soon' WHERE id = :id", id=two)
        assert {row["name"] for row in (await kept(customer))["results"]} == {"one", "soon"}
    assert {row["name"] for row in (await customer("GET", LIST)).json()["results"]} == {"late", "soon"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("UPDATE token SET revoked_at = now() WHERE account_id = :account", 401),
        ("UPDATE token SET expires_at = now() WHERE account_id = :account", 401),
        ("UPDATE token SET permissions = '{plans:read}' WHERE account_id = :account", 403),
        ("UPDATE account SET disabled_at = now() WHERE id = :account", 401),
    ],
)
async def test_who_may_not_see_it_any_more_doesnt(world: World, change: str, status: int) -> None:
    customer = await world.a_client()
    await world.a_server(customer)
    await kept(customer)
    await world.sql(change, account=customer.account_id)
    assert (await customer("GET", LIST)).status_code == status


async def test_it_counts_against_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = await world.a_client()
    await kept(customer)
    monkeypatch.setattr(world.app.state.rate_limit, "_burst", 3)
    answer = await customer("GET", LIST)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert len(answer.headers.get_list("ratelimit-remaining")) == 1


async def test_each_host_gets_its_own_addresses(world: World) -> None:
    customer = await world.a_client()
    for name in ("one", "two"):
        await world.a_server(customer, name=name)
    for host in ("one.test", "two.test"):
        page = await kept(customer, "/servers/?page_size=1", headers={"Host": host})
        assert page["next"].startswith(f"http://{host}/")


async def test_the_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = await world.a_client()
    await world.a_server(customer)
    monkeypatch.setattr(kept_lists, "MOST_LISTS", 2)
    paths = [f"/servers/?page_size={size}" for size in (10, 11, 12)]
    for path in paths:
        await kept(customer, path)
    before = from_memory()
    assert (await customer("GET", paths[2])).status_code == 200
    assert from_memory() == before + 1
    assert (await customer("GET", paths[0])).status_code == 200
    assert from_memory() == before + 1
    monkeypatch.setattr(kept_lists, "MOST_BYTES", 10)
    for _ in range(4):
        assert (await customer("GET", paths[1])).status_code == 200
    assert from_memory() == before + 1


async def test_every_column_that_a_list_shows_is_watched(world: World) -> None:
    shown = {one.name for one in visitors.iterate(ENTRY) if isinstance(one, Column) and one.table is server}
    shown |= set(search.ORDERS) & set(server.c.keys())
    watched = await world.sql(
        "SELECT attname FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid AND attnum = ANY(tgattr)"
        " WHERE tgrelid = 'server'::regclass AND tgname = 'count_changed'"
    )
    assert shown - NEVER_CHANGE <= {name for (name,) in watched}
    assert {"name", "tags", "ready_at", "storage_gb", "cell_id"} <= shown
