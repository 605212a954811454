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
from recomputation import Life, with_debt
from sqlalchemy import text

from openvps.accounts import queries as accounts
from openvps.billing.charge import charge
from openvps.billing.standing import set_standing
from openvps.core.db import Connection, Database
from openvps.core.settings import Settings
from openvps.ledger import rates

NUMBERS = itertools.count(1)
BEGIN = datetime(2023, 12, 31, 22, 30, tzinfo=UTC)  # before a leap year
GRACE = timedelta(hours=24)
DEBT = 3_000_000
PRICES = st.integers(0, 50_000_000)
GAPS = st.one_of(st.integers(0, 2 * 3600), st.integers(0, 50 * 86400)).map(lambda seconds: timedelta(seconds=seconds))
EVENTS = st.one_of(
    st.tuples(st.just("create"), PRICES),
    st.tuples(st.just("resize"), PRICES),
    st.tuples(st.just("delete"), st.just(0)),
    st.tuples(st.just("credit"), st.integers(1, 60_000_000)),
    st.tuples(st.just("operator"), st.just(0)),  # suspends, which leaves the meter running
    st.tuples(st.just("nothing"), st.just(0)),
)
Story = list[tuple[timedelta, tuple[str, int], bool]]


class Account:
    """One account, its servers' lives and its credits as they were asked for."""

    def __init__(self, database: Database, number: int) -> None:
        self.database, self.id = database, number
        self.lives: dict[int, Life] = {}
        self.credits: list[tuple[datetime, int]] = []

    async def do(self, conn: Connection, event: str, value: int, at: datetime) -> None:
        """Let one thing happen, to the oldest server there is where it is a server's."""
        there = next((number for number, life in self.lives.items() if life.end is None), None)
        if event == "create":
            number = next(NUMBERS)
            self.lives[number] = Life(at, value)
            await rates.start(conn, account_id=self.id, server_id=number, name="x", price_monthly_micro=value, at=at)
        elif event == "credit":
            self.credits.append((at, value))
            await conn.execute(
                text(
                    "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, at)"
                    " VALUES (:a, :m, 'credit', gen_random_uuid(), :at)"
                ),
                {"a": self.id, "m": value, "at": at},
            )
        elif event == "operator":
            await conn.execute(text("UPDATE account SET suspended_at = :at WHERE id = :a"), {"a": self.id, "at": at})
        elif there is not None and event == "resize":
            self.lives[there].resizes.append((at, value))
            await rates.change(conn, there, value, at)
        elif there is not None and event == "delete":
            self.lives[there].end = at
            await rates.end(conn, there, at)

    async def bill(self, config: Settings, at: datetime) -> None:
        """Do as the worker's turn does."""
        await charge(self.database, max_debt_micro=DEBT, at=at)
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

    async def booked(self) -> dict[tuple[int, datetime], int]:
        """Return the charges by server and hour."""
        rows = await self.rows(
            "SELECT server_id, at, -amount_micro FROM ledger_entry WHERE kind = 'hour' AND account_id = :a"
        )
        return {(row[0], row[1]): row[2] for row in rows}


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
            costs = {
                (number, at): cost for number, life in account.lives.items() for at, cost in life.costs(end).items()
            }
            expected = with_debt(costs, account.credits, -DEBT)
            assert await account.booked() == expected
            before = await account.shown()
            await account.bill(config, end)
            assert await account.shown() == before
            [(total,)] = await account.rows(
                "SELECT coalesce(sum(amount_micro), 0) FROM ledger_entry WHERE account_id = :a"
            )
            assert total == sum(amount for _, amount in account.credits) - sum(expected.values())
            await account.rows("UPDATE meter SET due_at = NULL WHERE account_id = :a RETURNING 1")  # it has ended

    async def run() -> None:
        database = Database(database_url)
        await example(database)
        await database.close()

    asyncio.run(run())
