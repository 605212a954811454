"""Years of an account on a driven clock: servers made, resized, stopped and deleted, credit paid and used up.

Charging and standing run after every event in one life, and now and then in another: both have the same ledger, which
equals a recomputation that shares no code with it.
"""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recomputation import Key, Life, all_costs, with_debt
from sqlalchemy import text

from openvps.accounts import queries as accounts
from openvps.billing.charge import Terms, charge
from openvps.billing.standing import set_standing
from openvps.core.db import Connection, Database
from openvps.core.settings import Settings
from openvps.ledger import rates
from sound import ALWAYS

NUMBERS = itertools.count(1)
BEGIN = datetime(2023, 12, 31, 22, 30, tzinfo=UTC)  # before a leap year
GRACE = timedelta(hours=24)
DEBT = 3_000_000
PRICES = st.integers(0, 50_000_000)
GBS = st.one_of(st.just(0), st.integers(0, 3_000))
RATES = st.tuples(PRICES, GBS)
BYTES = st.one_of(st.integers(0, 10**10), st.integers(0, 2 * 10**12))
GAPS = st.one_of(st.integers(0, 2 * 3600), st.integers(0, 50 * 86400)).map(lambda seconds: timedelta(seconds=seconds))
EVENTS = st.one_of(
    st.tuples(st.just("create"), RATES),
    st.tuples(st.just("resize"), RATES),
    st.tuples(st.just("traffic"), st.tuples(BYTES, BYTES)),
    st.tuples(st.just("delete"), st.just((0, 0))),
    st.tuples(st.just("credit"), st.tuples(st.integers(1, 60_000_000), st.just(0))),
    st.tuples(st.just("operator"), st.just((0, 0))),  # suspends, which leaves the meter running
    st.tuples(st.just("nothing"), st.just((0, 0))),
)
MONTHS = ALWAYS["servers' months that are not their charges' sum"]
Story = list[tuple[timedelta, tuple[str, tuple[int, int]], bool]]
GB_PRICE = 10_007


class Account:
    """One account, its servers' lives and its credits as they were asked for."""

    def __init__(self, database: Database, number: int) -> None:
        self.database, self.id = database, number
        self.lives: dict[int, Life] = {}
        self.credits: list[tuple[datetime, int]] = []

    async def do(self, conn: Connection, event: str, value: tuple[int, int], at: datetime) -> None:
        """Let one thing happen, to the oldest server there is where it is a server's."""
        there = next((number for number, life in self.lives.items() if life.end is None), None)
        if event == "create":
            number = next(NUMBERS)
            self.lives[number] = Life(at, *value)
            rate = rates.Rate(*value)
            await rates.start(conn, account_id=self.id, server_id=number, name="x", rate=rate, at=at)
        elif event == "credit":
            self.credits.append((at, value[0]))
            await conn.execute(
                text(
                    "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, at)"
                    " VALUES (:a, :m, 'credit', gen_random_uuid(), :at)"
                ),
                {"a": self.id, "m": value[0], "at": at},
            )
        elif event == "operator":
            await conn.execute(text("UPDATE account SET suspended_at = :at WHERE id = :a"), {"a": self.id, "at": at})
        elif there is not None and event == "resize":
            self.lives[there].resizes.append((at, *value))
            await rates.change(conn, there, rates.Rate(*value), at)
        elif there is not None and event == "traffic":
            hour = at.replace(minute=0, second=0, microsecond=0)
            received, sent = self.lives[there].traffic.get(hour, (0, 0))
            self.lives[there].traffic[hour] = received + value[0], sent + value[1]
            await conn.execute(
                text(
                    "INSERT INTO usage_hour AS known VALUES (:n, :hour, 1, 1, 1, 1, 1, 1, :received, :sent)"
                    " ON CONFLICT (server_id, hour) DO UPDATE SET"
                    " received_bytes = known.received_bytes + excluded.received_bytes,"
                    " sent_bytes = known.sent_bytes + excluded.sent_bytes"
                ),
                {"n": there, "hour": hour, "received": value[0], "sent": value[1]},
            )
        elif there is not None and event == "delete":
            self.lives[there].end = at
            await rates.end(conn, there, at)

    async def bill(self, config: Settings, at: datetime) -> None:
        """Do as the worker's turn does."""
        await charge(self.database, Terms(DEBT, GB_PRICE), at=at)
        await set_standing(self.database, config, at=at)

    async def rows(self, statement: str) -> list[Any]:
        """Return rows of this account."""
        async with self.database.begin() as conn:
            return list(await conn.execute(text(statement), {"a": self.id}))

    async def shown(self) -> list[Any]:
        """Return all that billing has written."""
        standing = "SELECT low_at, empty_at, unpaid_at, servers_end_at FROM account WHERE id = :a"
        told = "SELECT id, kind FROM notice WHERE account_id = :a ORDER BY id"
        return [await self.booked(), await self.rows(standing), await self.rows(told)]

    async def booked(self) -> dict[Key, int]:
        """Return the charges by server, kind and hour."""
        rows = await self.rows(
            "SELECT server_id, kind, at, -amount_micro FROM ledger_entry"
            " WHERE server_id IS NOT NULL AND account_id = :a"
        )
        return {(row[0], row[1], row[2]): row[3] for row in rows}


async def lived(account: Account, config: Settings, story: Story, *, timely: bool) -> datetime:
    """Let the story happen, with billing after each event or only where the story says so; returns when it ends."""
    at = BEGIN
    for gap, (event, value), billed in story:
        at += gap
        async with account.database.begin() as conn:
            await account.do(conn, event, value, at)
        if timely or billed:
            await account.bill(config, at)
            await check_standing(account)
    await account.bill(config, at)
    return at


async def check_standing(account: Account) -> None:
    """Nobody with credit is suspended, and nobody before the grace period was over."""
    [(total, empty_at, unpaid_at)] = await account.rows(
        "SELECT coalesce((SELECT amount_micro FROM ledger_total WHERE account_id = :a), 0), empty_at, unpaid_at"
        " FROM account WHERE id = :a"
    )
    assert total >= -DEBT
    if unpaid_at is not None:
        assert total <= 0
        assert unpaid_at - empty_at >= GRACE


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(GAPS, EVENTS, st.booleans()), min_size=4, max_size=16))
def test_an_accounts_years_cost_what_they_are_recomputed_to_however_late_and_often_billing_runs(
    database_url: str, config: Settings, story: Story
) -> None:
    async def example(database: Database) -> None:
        assert config.grace_hours * rates.HOUR == GRACE
        for timely in (True, False):
            async with database.begin() as conn:
                number = next(NUMBERS)
                account = Account(database, await accounts.add_account(conn, email=f"y{number}@example.com"))
            end = await lived(account, config, story, timely=timely)
            expected = with_debt(all_costs(account.lives, end, GB_PRICE), account.credits, -DEBT)
            assert await account.booked() == expected
            before = await account.shown()
            await account.bill(config, end)
            assert await account.shown() == before
            [(total,)] = await account.rows(
                "SELECT coalesce(sum(amount_micro), 0) FROM ledger_entry WHERE account_id = :a"
            )
            assert total == sum(amount for _, amount in account.credits) - sum(expected.values())
            assert await account.rows(MONTHS) == []
            over = "UPDATE meter SET due_at = NULL, traffic_at = NULL WHERE account_id = :a RETURNING 1"
            await account.rows(over)

    async def run() -> None:
        database = Database(database_url)
        async with database.begin() as conn:
            await conn.execute(text("CREATE TABLE IF NOT EXISTS usage_hour_ever PARTITION OF usage_hour DEFAULT"))
        await example(database)
        await database.close()

    asyncio.run(run())
