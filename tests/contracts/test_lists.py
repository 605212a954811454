"""Long lists: filters, orders, cursors, and counts that are sums and yet exact."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from pydantic import TypeAdapter
from sqlalchemy import event
from typing_extensions import get_type_hints

from factories import Client, World
from openvps.compute.servers import counts, search, shape
from openvps.core.paging import Page
from openvps.core.seek import Seek

pytestmark = pytest.mark.anyio

ORDERINGS = [sign + name for name in search.ORDERS for sign in ("", "-")]
STATUSES = ["active", "stopped", "error", "provisioning"]


async def many(world: World, client: Client, number: int, *, location_id: int | None = None) -> None:
    """Write servers with names, statuses, tags and times that repeat and are in no order, as copies of a real one."""
    await world.a_server(client, name="seed-of-many", tags=["seed"])
    columns = [
        row[0]
        for row in await world.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'server' AND column_name NOT IN"
            " ('id', 'uuid', 'name', 'status', 'tags', 'updated_at', 'created_at', 'location_id', 'look_at')"
        )
    ]
    same = ", ".join(columns)
    await world.sql(
        f"INSERT INTO server ({same}, name, status, tags, updated_at, location_id)"
        f" SELECT {same}, (ARRAY['Web', 'db', 'cache'])[1 + n % 3] || '-' || n % 7,"
        " (ARRAY['active', 'stopped', 'error'])[1 + n * 7 % 3],"
        " CASE n % 4 WHEN 0 THEN ARRAY['a', 'b'] WHEN 1 THEN ARRAY['a'] ELSE ARRAY['c'] END,"
        " now() - make_interval(secs => n * 13 % 5), coalesce(:location_id, location_id)"
        " FROM server, generate_series(1, :number) n WHERE name = 'seed-of-many' AND account_id = :account_id",
        number=number,
        account_id=client.account_id,
        location_id=location_id,
    )


async def results(client: Client, path: str) -> list[dict[str, Any]]:
    answer = await client("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize("ordering", ORDERINGS)
async def test_cursors_go_through_all_once_in_order_and_back(world: World, ordering: str) -> None:
    customer = await world.a_client()
    await many(world, customer, 24)
    whole = await results(customer, f"/servers/?page_size=100&ordering={ordering}")
    field = ordering.removeprefix("-")
    if field != "created_at":
        keys = [(one[field].lower(), one["id"]) for one in whole]
        assert field == "updated_at" or keys == sorted(keys, reverse=ordering.startswith("-"))
    assert len({one["id"] for one in whole}) == 25
    pages: list[list[dict[str, Any]]] = []
    last_url: str | None = None
    url: str | None = f"/servers/?page_size=4&ordering={ordering}"
    while url:
        body = (await customer("GET", url)).json()
        assert body["count"] == 25
        pages.append(body["results"])
        last_url, url = url, body["next"]
    assert [one["id"] for page in pages for one in page] == [one["id"] for one in whole]
    back: list[list[dict[str, Any]]] = []
    url = last_url
    while url:
        body = (await customer("GET", url)).json()
        back.append(body["results"])
        url = body["previous"]
    assert back[::-1] == pages
    numbered = [await results(customer, f"/servers/?page_size=4&ordering={ordering}&page={n}") for n in range(1, 8)]
    assert numbered == pages


async def test_a_cursor_goes_on_where_it_was_whatever_came_and_went(world: World) -> None:
    customer = await world.a_client()
    made = [await world.a_server(customer) for _ in range(5)]
    body = (await customer("GET", "/servers/?page_size=2")).json()
    await world.a_server(customer)
    await customer("DELETE", f"/servers/{made[3]}/")  # the very one that the cursor names
    body = (await customer("GET", body["next"])).json()
    assert [one["id"] for one in body["results"]] == [made[2], made[1]]
    assert body["count"] == 5


@pytest.mark.parametrize(
    "cursor", ["x", "e30", "W10", "WyIiLDAsMSwxXQ", "%ff", "WyJuYW1lIiwwLCJhIiwxXQ", "é", "W1tdLDAsMSwxXQ"]
)
async def test_a_cursor_not_of_ours_is_400(world: World, cursor: str) -> None:
    answer = await (await world.a_client())("GET", f"/servers/?cursor={cursor}")
    assert (answer.status_code, set(answer.json())) == (400, {"cursor"})


@pytest.mark.parametrize("query", ["ordering=size", "ordering=", "status=asleep", "page_size=0", "page_size=x"])
async def test_what_no_list_knows_is_400_by_its_name(world: World, query: str) -> None:
    answer = await (await world.a_client())("GET", f"/servers/?{query}")
    assert (answer.status_code, set(answer.json())) == (400, {query.partition("=")[0]})


@pytest.mark.parametrize("path", ["/servers/?status=active&status=stopped", "/plans/?page=1&page=1"])
async def test_a_parameter_given_twice_is_400(world: World, path: str) -> None:
    answer = await (await world.a_client())("GET", path)
    assert answer.status_code == 400
    assert list(answer.json().values()) == [["Give it once."]]


async def test_filters_all_have_to_match_and_are_counted(world: World) -> None:
    customer = await world.a_client()
    await many(world, customer, 60)
    await many(world, await world.a_client(), 5)
    whole = await results(customer, "/servers/?page_size=100")
    cases: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
        ("name=WEB", lambda one: "web" in one["name"].lower()),
        ("name=b-3", lambda one: "b-3" in one["name"].lower()),
        ("name=%25", lambda _: False),
        ("name=_", lambda _: False),
        ("tag=a", lambda one: "a" in one["tags"]),
        ("tag=a&tag=b", lambda one: {"a", "b"} <= set(one["tags"])),
        ("tag=A", lambda _: False),
        ("status=error", lambda one: one["status"] == "error"),
        ("status=error&location=us-west", lambda one: one["status"] == "error"),
        ("location=us-west", lambda _: True),
        ("location=nowhere", lambda _: False),
        (
            "tag=a&status=active&name=db&ordering=name",
            lambda one: "db" in one["name"] and "a" in one["tags"] and one["status"] == "active",
        ),
    )
    for query, matches in cases:
        body = (await customer("GET", f"/servers/?page_size=100&{query}")).json()
        wanted = {one["id"] for one in whole if matches(one)}
        assert {one["id"] for one in body["results"]} == wanted, query
        assert body["count"] == len(wanted), query
        short = (await customer("GET", f"/servers/?page_size=1&{query}")).json()
        assert (short["count"], len(short["results"])) == (len(wanted), min(1, len(wanted))), query


@pytest.mark.parametrize("query", ["name=web", "tag=a&name=B", "tag=a&ordering=created_at", "name=b&ordering=name"])
async def test_cursors_and_numbers_go_through_what_a_filter_leaves(world: World, query: str) -> None:
    customer = await world.a_client()
    await many(world, customer, 30)
    whole = await results(customer, f"/servers/?page_size=100&{query}")
    assert len(whole) > 5
    through: list[list[int]] = []
    url: str | None = f"/servers/?page_size=3&{query}"
    last_url = ""
    while url:
        body = (await customer("GET", url)).json()
        assert body["count"] == len(whole)
        through.append([one["id"] for one in body["results"]])
        last_url, url = url, body["next"]
    assert [number for page in through for number in page] == [one["id"] for one in whole]
    back = (await customer("GET", (await customer("GET", last_url)).json()["previous"])).json()
    assert [one["id"] for one in back["results"]] == through[-2]
    second = await results(customer, f"/servers/?page_size=3&page=2&{query}")
    assert [one["id"] for one in second] == through[1]
    assert (await customer("GET", f"/servers/?page_size=3&page={len(through) + 1}&{query}")).status_code == 404


async def test_what_postgresql_writes_of_a_server_is_what_the_shape_says(world: World) -> None:
    customer = await world.a_client()
    bare = await world.a_server(customer)  # as it may never be: without addresses, and with awkward texts
    await world.sql("DELETE FROM address WHERE server_id = :id", id=bare)
    texts = {"id": bare, "error": 'Zoë said "no\\way"\n\t\x01 </script> \U0001f600'}
    await world.sql(
        "UPDATE server SET error = :error, created_at = '2026-01-02T03:04:05.999Z' WHERE id = :id", **texts
    )
    await many(world, customer, 6)
    listed = await results(customer, "/servers/")
    TypeAdapter(list[shape.Summary]).validate_python(listed, strict=True, extra="forbid")
    for one in listed:
        assert list(one) == list(get_type_hints(shape.Summary))
        shown = (await customer("GET", f"/servers/{one['id']}/")).json()
        del shown["plan"]["bandwidth"]
        assert one == {name: shown[name] for name in one}
    assert listed[-1]["error"] == texts["error"]
    assert listed[-1]["created_at"] == "2026-01-02T03:04:05Z"


async def test_counts_stay_exact_through_every_change_while_they_are_added_up(world: World) -> None:
    customer, other = await world.a_client(), await world.a_client()
    stop = asyncio.Event()

    async def sweep() -> None:
        while not stop.is_set():
            async with world.database.begin() as conn:
                await counts.add_up(conn)

    async def live(client: Client) -> None:
        for turn in range(6):
            number = await world.a_server(client)
            if turn % 2:
                await client("POST", f"/servers/{number}/stop/")
            if turn % 3 == 0:
                assert (await client("DELETE", f"/servers/{number}/")).status_code == 204

    sweeps = [asyncio.create_task(sweep()) for _ in range(2)]
    await asyncio.gather(live(customer), live(customer), live(other))
    stop.set()
    await asyncio.gather(*sweeps)
    for client in (customer, other):
        for query in ("", *(f"?status={status}" for status in ("active", "stopping", "stopped"))):
            body = (await client("GET", f"/servers/{query}")).json()
            assert body["count"] == len(body["results"]), query
    assert (await customer("GET", "/servers/")).json()["count"] == 8
    await world.sql("DELETE FROM action; DELETE FROM server_count WHERE false")
    async with world.database.begin() as conn:
        await counts.add_up(conn)
    kinds = await world.sql("SELECT count(*), count(DISTINCT (account_id, location_id, status)) FROM server_count")
    assert kinds[0][0] == kinds[0][1]
    summed = await world.sql("SELECT account_id, location_id, status, n FROM server_count ORDER BY 1, 2, 3")
    counted = await world.sql(
        "SELECT account_id, location_id, status, count(*) FROM server WHERE wanted <> 'absent' GROUP BY 1, 2, 3"
        " ORDER BY 1, 2, 3"
    )
    assert [tuple(row) for row in summed] == [tuple(row) for row in counted]


@pytest.mark.parametrize(
    ("by", "ordering", "index"),
    [
        (search.Filters(), "-created_at", "ix_server_listed"),
        (search.Filters(), "name", "ix_server_by_name"),
        (search.Filters(), "-updated_at", "ix_server_by_update"),
        (search.Filters(), "status", "ix_server_by_status"),
        (search.Filters(status="error"), "-created_at", "ix_server_by_status"),
        (search.Filters(location="us-west"), "-created_at", "ix_server_"),
        (search.Filters(name="eb-1"), "-created_at", "Index Only Scan using ix_server_by_name"),
        (search.Filters(tags=("a",)), "-created_at", "Index Only Scan Backward using ix_server_listed"),
    ],
)
async def test_a_page_is_looked_for_in_an_index_without_sorting_all(
    world: World, by: search.Filters, ordering: str, index: str
) -> None:
    customer, other = await world.a_client(), await world.a_client()
    await many(world, customer, 1000)
    await many(world, other, 10_000)
    await world.sql("UPDATE server SET status = 'active' WHERE id % 50 <> 0")
    async with world.database.begin() as conn:
        await counts.add_up(conn)
    with psycopg.connect(world.config.database_url or "", autocommit=True) as plain:
        for _ in range(100):  # the autovacuum's own look may be in the way
            plain.execute("VACUUM ANALYZE server, server_count")
            if plain.execute("SELECT 1 FROM pg_class WHERE relname = 'server' AND relallvisible > 0").fetchone():
                break
    asked: list[tuple[str, Any]] = []

    def keep(_conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    database: Any = world.database
    event.listen(database._engine.sync_engine, "before_cursor_execute", keep)
    async with world.database.begin() as conn:
        await search.page(conn, customer.account_id, by, Seek(Page(1, 20), ordering))
        statement, parameters = asked[0]
        plan = [row[0] for row in await conn.exec_driver_sql(f"EXPLAIN {statement}", parameters)]
    assert any(index in line for line in plan), "\n".join(plan)
    assert not any("Seq Scan on server " in line or "Seq Scan on server\n" in line for line in plan), "\n".join(plan)


async def test_rows_of_an_account_are_made_in_the_order_of_their_ids(world: World) -> None:
    customer = await world.a_client()
    await asyncio.gather(*(world.a_server(customer) for _ in range(6)))
    rows = await world.sql("SELECT created_at FROM server ORDER BY id")
    assert rows == sorted(rows)


async def test_an_empty_cursor_begins_where_the_list_does(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    answer = await client("GET", "/servers/?cursor=&page=1&ordering=name")
    assert [one["id"] for one in answer.json()["results"]] == [number]
