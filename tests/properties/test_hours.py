"""Years of random servers, charged by a driven clock: the ledger equals a recomputation that shares no code with it.

The clock begins in the past of the machine's own. Each example leaves its database as it found it: it is rolled back.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recomputation import HOUR, Key, Life, all_costs, with_debt
from sqlalchemy import text
from traffic import GBS, traffic

from openvps.accounts import queries as accounts
from openvps.billing import charge as charging
from openvps.billing.charge import Terms, charge_some
from openvps.billing.hours import Metered, Period
from openvps.core.db import Connection, Database
from openvps.ledger import queries as ledger
from openvps.ledger import rates

NUMBERS = itertools.count(1)
MICRO = st.integers(0, 10**9)
GB_PRICE = 10_007  # no round number: sums would hide what rounding does
MOMENTS = st.datetimes(datetime(2023, 11, 1), datetime(2025, 6, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds
UNBOUNDED = 10**18
WITH_DATABASE = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    begin = draw(MOMENTS)
    spans = st.one_of(st.integers(0, 3 * 3600), st.integers(0, 60 * 86400))
    at, resizes = begin, list[tuple[datetime, int, int]]()
    for _ in range(draw(st.integers(0, 5))):
        at += timedelta(seconds=draw(spans))
        resizes.append((at, draw(MICRO), draw(GBS)))
    end = at + timedelta(seconds=draw(spans)) if draw(st.booleans()) else None
    return Life(begin, draw(MICRO), draw(GBS), resizes, end, draw(traffic(begin, end)))


def metered(life: Life) -> Metered:
    """Return the life as its rows would say it."""
    periods = {life.begin: (life.price, life.gb)}
    for at, *rate in life.resizes:
        periods[rates.next_hour(life.begin, at)] = (rate[0], rate[1])
    end = max(life.end, life.begin + rates.LEAST) if life.end else None
    return Metered(1, life.begin, end, life.begin, [Period(at, *rate) for at, rate in periods.items()])


async def live(conn: Connection, account_id: int, number: int, life: Life) -> None:
    rate = rates.Rate(life.price, life.gb)
    await rates.start(conn, account_id=account_id, server_id=number, name="x", rate=rate, at=life.begin)
    for at, *changed in life.resizes:
        # A resize at an hour's very begin is after that hour's charge would have been: it changes the next one.
        await rates.change(conn, number, rates.Rate(*changed), at)
    if life.end:
        await rates.end(conn, number, life.end)
    await move(conn, number, life.traffic)


async def move(conn: Connection, number: int, moved: dict[datetime, tuple[int, int]]) -> None:
    """Write traffic as samples would have."""
    rows = [{"n": number, "hour": hour, "in": both[0], "out": both[1]} for hour, both in moved.items()]
    if rows:
        await conn.execute(text("INSERT INTO usage_hour VALUES (:n, :hour, 1, 1, 1, 1, 1, 1, :in, :out)"), rows)


async def credit(conn: Connection, account_id: int, number: int, at: datetime, amount: int) -> None:
    await conn.execute(
        text(
            "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, at)"
            " VALUES (:a, :m, 'credit', :r, :at) ON CONFLICT DO NOTHING"
        ),
        {"a": account_id, "m": amount, "r": str(number), "at": at},
    )


async def run(conn: Connection, *moments: datetime, debt: int = UNBOUNDED) -> None:
    for at in moments:
        while await charge_some(conn, Terms(debt, GB_PRICE), at=at):
            pass


async def booked(conn: Connection, account_id: int) -> dict[Key, int]:
    rows = await conn.execute(
        text(
            "SELECT server_id, kind, at, -amount_micro FROM ledger_entry"
            " WHERE server_id IS NOT NULL AND account_id = :a"
        ),
        {"a": account_id},
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def _rolled_back(url: str) -> AsyncGenerator[tuple[Connection, int]]:
    with psycopg.connect(url, autocommit=True) as conn:  # clocks that are changed by half an hour, twice a year
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} SET timezone = 'Australia/Lord_Howe'".encode())
        conn.execute("CREATE TABLE IF NOT EXISTS usage_hour_ever PARTITION OF usage_hour DEFAULT")
    database = Database(url)
    async with database.begin() as conn:
        number = next(NUMBERS)
        yield conn, await accounts.add_account(conn, email=f"a{number}@example.com")
        await conn.rollback()
    await database.close()


@WITH_DATABASE
@given(st.lists(lives(), min_size=1, max_size=3), st.lists(MOMENTS, max_size=4), MOMENTS)
def test_the_entries_equal_a_recomputation_however_late_and_often_charging_runs(
    database_url: str, servers: list[Life], runs: list[datetime], last: datetime
) -> None:
    async def example() -> None:
        costs = all_costs(dict(enumerate(servers, 1)), last, GB_PRICE)
        expected = with_debt(costs, [], -UNBOUNDED)
        for moments in ([last], [*sorted(at for at in runs if at < last), last, last]):
            async for conn, account_id in _rolled_back(database_url):
                for number, life in enumerate(servers, 1):
                    await live(conn, account_id, number, life)
                await run(conn, *moments)
                assert await booked(conn, account_id) == expected
                total = (await ledger.balance(conn, account_id)).total_micro
                assert total == -sum(expected.values())

    asyncio.run(example())


@given(lives(), MOMENTS)
def test_no_month_costs_more_than_its_largest_price(life: Life, last: datetime) -> None:
    months: dict[tuple[int, int], int] = defaultdict(int)
    for charge in metered(life).charges(last):
        months[charge.at.year, charge.at.month] += charge.amount_micro
        assert charge.amount_micro >= 0
    largest = max([life.price, *(price for _, price, _ in life.resizes)])
    assert all(cost <= largest for cost in months.values())


@given(MICRO, st.sampled_from([datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 13)]))
def test_at_one_price_a_whole_month_costs_exactly_that(price: int, begin: datetime) -> None:
    ended = (begin + timedelta(days=32)).replace(day=1)
    one = Metered(1, begin, ended, begin, [Period(begin, price, 0)])
    costs = [charge.amount_micro for charge in one.charges(ended)]
    assert len(costs) == (ended - begin) // HOUR
    assert sum(costs) == price
    assert costs[:672] == [(n + 1) * price // 672 - n * price // 672 for n in range(672)]
    assert set(costs[672:]) <= {0}


@WITH_DATABASE
@given(lives(), st.lists(st.tuples(MOMENTS, st.integers(1, 10**9)), max_size=4), st.integers(0, 10**8), MOMENTS)
def test_debt_ends_where_it_is_stated_also_in_a_late_run(
    database_url: str, life: Life, credits_: list[tuple[datetime, int]], debt: int, last: datetime
) -> None:
    async def example() -> None:
        found: list[Any] = []
        between = [life.begin + timedelta(days=days) for days in range(1, 100, 7)]
        for moments in ([last], [*(at for at in between if at < last), last]):
            async for conn, account_id in _rolled_back(database_url):
                await live(conn, account_id, 1, life)
                given_ = sorted(credits_)
                for at in moments:
                    for number, (moment, amount) in enumerate(given_):
                        if moment <= at:
                            await credit(conn, account_id, number, moment, amount)
                    await run(conn, at, debt=debt)
                assert (await ledger.balance(conn, account_id)).total_micro >= -debt
                found.append(await booked(conn, account_id))
        assert found[0] == found[1]

    asyncio.run(example())


@st.composite
def short_lives(draw: st.DrawFn) -> Life:
    """Return a server of some hours over a month's end; several are often due at the very same moment."""
    begin = datetime(2024, 2, 29, 12, tzinfo=UTC) + timedelta(minutes=draw(st.sampled_from([0, 0, 0, 58, 61])))
    resizes = [(begin + timedelta(minutes=draw(st.integers(0, 600))), draw(MICRO), draw(st.integers(0, 300)))]
    end = begin + timedelta(minutes=draw(st.integers(0, 1200))) if draw(st.booleans()) else None
    life = Life(begin, draw(MICRO), draw(st.integers(0, 300)), resizes if draw(st.booleans()) else [], end)
    if end:
        life.resizes = [one for one in life.resizes if one[0] < end]
    life.traffic = draw(traffic(begin, end))
    return life


@given(short_lives(), st.integers(0, 30), st.integers(0, 30))
def test_charges_from_any_hour_to_any_other_are_those_of_a_recomputation(life: Life, first: int, hours: int) -> None:
    last = life.begin + hours * HOUR
    server = metered(life)._replace(due_at=life.begin + first * HOUR)
    expected = {at: cost for at, cost in life.costs(last).items() if at >= life.begin + first * HOUR}
    assert {one.at: one.amount_micro for one in server.charges(last)} == expected


@settings(WITH_DATABASE, max_examples=10)
@given(
    st.lists(short_lives(), min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(0, 20), st.integers(-(10**6), 10**7)), max_size=3),
    st.integers(0, 10**7),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 20)),
)
def test_an_account_charged_in_parts_of_any_size_pays_the_same(
    database_url: str,
    servers: list[Life],
    paid: list[tuple[int, int]],
    debt: int,
    part: tuple[int, int, int],
) -> None:
    begin = min(life.begin for life in servers)
    at_once, rows, hours = part
    last = begin + hours * HOUR
    credits_ = [(begin + after * HOUR - HOUR, amount) for after, amount in sorted(paid)]

    async def example() -> None:
        expected = with_debt(all_costs(dict(enumerate(servers, 1)), last, GB_PRICE), credits_, -debt)
        async for conn, account_id in _rolled_back(database_url):
            for number, life in enumerate(servers, 1):
                await live(conn, account_id, number, life)
            for number, (at, amount) in enumerate(credits_):
                await credit(conn, account_id, number, at, amount)
            await run(conn, last, debt=debt)
            assert await booked(conn, account_id) == expected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charging, "SERVERS", at_once)
        patch.setattr(charging, "ROWS", rows)
        asyncio.run(example())


@pytest.mark.anyio
async def test_a_part_that_ends_between_two_servers_keeps_their_order(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "SERVERS", 2)
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    servers = {1: Life(noon, 672_000), 2: Life(noon, 672_000), 3: Life(noon - HOUR, 672_000)}
    async for conn, account_id in _rolled_back(database_url):
        for number, life in servers.items():
            await live(conn, account_id, number, life)
        await run(conn, noon, debt=2_500)
        assert await booked(conn, account_id) == {
            (3, "hour", noon - HOUR): 1_000,
            (1, "hour", noon): 1_000,
            (2, "hour", noon): 500,
            (3, "hour", noon): 0,
        }
