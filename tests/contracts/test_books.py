"""What an account's owner sees of its money: ledger, this month, invoices in three forms."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from factories import Client, World
from openvps.billing import export
from openvps.billing.charge import Terms, charge
from openvps.billing.hours import month_of
from openvps.billing.invoices import rounded
from openvps.compute.usage import history
from openvps.core.clock import now

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
TERMS = Terms(0, 10_000)


async def a_month(world: World, client: Client) -> None:
    """Make a server that ran for all of October 2026, and charge it."""
    number = await world.a_server(client)
    begin, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    await world.sql("UPDATE meter SET started_at = :b, due_at = :b, ended_at = :e", b=begin, e=end)
    await world.sql("UPDATE rate_period SET begins_at = :b, ends_at = :e", b=begin, e=end)
    await world.sql("ALTER TABLE ledger_entry DISABLE TRIGGER append_only")  # the credit was there before
    await world.sql("UPDATE ledger_entry SET at = :b", b=begin)
    await charge(world.database, Terms(0))
    await world.sql("UPDATE account SET company_name = '=<b>Ltd' WHERE id = :id", id=client.account_id)
    assert number


async def test_a_whole_month_is_one_line_at_the_monthly_price(world: World) -> None:
    client = await world.a_client()
    await a_month(world, client)
    [listed] = (await client("GET", "/account/invoices/")).json()["results"]
    assert listed == {"id": "2026-10", "currency": "USD", "total": "5.00"}
    shown = (await client("GET", "/account/invoices/2026-10/")).json()
    [line] = shown["lines"]
    assert (line["hours"], line["amount"], shown["total"], shown["final"]) == (744, "5.000000", "5.00", True)
    for bad in ("2026-09", "2026-13", "x", "0", "9999-99"):
        assert (await client("GET", f"/account/invoices/{bad}/")).status_code == 404


async def test_an_invoice_as_table_and_as_page(world: World) -> None:
    client = await world.a_client()
    await a_month(world, client)
    table = await client("GET", "/account/invoices/2026-10/?format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(table.text)))
    assert rows[0] == ["description", "server_id", "hours", "traffic_gb", "amount", "currency"]
    assert [rows[1][0], *rows[1][2:]] == ["web-1", "744", "", "5.000000", "USD"]
    assert rows[-1] == ["total", "", "", "", "5.00", "USD"]
    page = await client("GET", "/account/invoices/2026-10/?format=html")
    assert page.headers["content-type"].startswith("text/html")
    assert "=&lt;b&gt;Ltd" in page.text
    style = page.text.partition('href="')[2].partition('"')[0]
    assert (await world.http.get(f"http://api.test{style}")).status_code == 200
    assert (await client("GET", "/account/invoices/2026-10/?format=pdf")).status_code == 400


async def test_this_month_and_its_forecast_follow_the_rates(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    usage = (await client("GET", "/account/usage/")).json()
    [one] = usage["servers"]
    assert (one["hours"], one["cost"]) == (1, "0.007440")
    assert usage["cost"] == one["cost"]
    assert 0.007440 <= float(usage["forecast"]) <= 5
    await charge(world.database, Terms(0))
    newest = (await client("GET", "/account/ledger/")).json()["results"][0]
    assert (newest["kind"], newest["amount"], newest["server_name"]) == ("hour", "-0.007440", "web-1")


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "0.00"), (4_999, "0.00"), (5_000, "0.01"), (12_345_678, "12.35"), (-15_000, "-0.02"), (-1, "0.00")],
)
def test_a_total_is_rounded_half_up(micro: int, text: str) -> None:
    assert rounded(micro) == text


async def test_ledger_usage_and_invoices_are_tables_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHUNK", 100)
    client = await world.a_client()
    await a_month(world, client)
    await world.sql("UPDATE meter SET name = '=1+1'")

    async def rows(path: str) -> list[list[str]]:
        answer = await client("GET", path)
        assert answer.headers["content-type"].startswith("text/csv"), answer.text
        return list(csv.reader(io.StringIO(answer.text)))

    head, *entries = await rows("/account/ledger/?format=csv&month=2026-10")
    assert head == list(export.ENTRY)
    hours = [one for one in entries if one[2] == "hour"]
    begins = [one[1] for one in hours]
    assert (len(hours), begins) == (744, sorted(set(begins)))
    assert {one[5] for one in hours} == {"'=1+1"}
    assert sum(int(one[3].replace(".", "")) for one in hours) == -5_000_000
    assert (await client("GET", "/account/ledger/?month=2026-10")).json()["count"] == 745
    assert (await client("GET", "/account/ledger/?month=2026-09")).json()["count"] == 0
    assert await rows("/account/ledger/?format=csv&month=2026-09") == [head]
    assert await rows("/account/invoices/?format=csv") == [["id", "currency", "total"], ["2026-10", "USD", "5.00"]]

    monkeypatch.setattr(export, "MOST", 500)
    assert (await client("GET", "/account/ledger/?format=csv&month=2026-10")).status_code == 400
    for bad in ("month=2026-13", "month=", "format=xls"):
        assert (await client("GET", f"/account/ledger/?{bad}")).status_code == 400


async def test_this_month_is_a_table_too(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    table = await client("GET", "/account/usage/?format=csv")
    head, row = csv.reader(io.StringIO(table.text))
    assert head == list(export.SERVER)
    assert (row[0], row[1], row[2], row[3], row[-1]) == (str(number), "web-1", "False", "1", "USD")


async def test_what_debt_kept_from_being_charged_is_in_no_sum_of_the_month(world: World) -> None:
    client = await world.a_client(credit=0)
    begin = month_of(now())[0]
    await world.sql(
        "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, at)"
        " VALUES (:a, 200000, 'credit', 'early', :b)",
        a=client.account_id,
        b=begin,
    )
    await world.a_server(client)
    await world.sql("UPDATE meter SET started_at = :b, due_at = :b", b=begin)
    await world.sql("UPDATE rate_period SET begins_at = :b, price_monthly_micro = 672000000", b=begin)
    await charge(world.database, Terms(0))
    [(charged, hours)] = await world.sql("SELECT -sum(amount_micro), count(*) FROM ledger_entry WHERE kind = 'hour'")
    usage = (await client("GET", "/account/usage/")).json()
    invoice = (await client("GET", f"/account/invoices/{usage['month']}/")).json()
    assert (charged, usage["cost"], invoice["total"]) == (200000, "0.200000", "0.20")
    assert usage["servers"][0]["hours"] == hours
    await world.sql("UPDATE meter SET due_at = due_at - interval '1 hour'")  # one that is not charged yet
    assert (await client("GET", "/account/usage/")).json()["cost"] == ("1.200000" if hours <= 672 else "0.200000")


async def moved(world: World, server: int, hour: datetime, received_gb: float, sent_gb: float) -> None:
    """Have a server's traffic sampled in an hour of the clock."""
    sample = history.Sample(server, 30.0, 30.0, 1.0, 1, 1, int(received_gb * 1e9), int(sent_gb * 1e9))
    async with world.database.begin() as conn:
        await history.add(conn, hour, [sample])


async def test_traffic_beyond_what_is_included_is_in_the_ledger_the_usage_and_the_invoice(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    begin = month_of(now())[0]
    month = f"{begin:%Y-%m}"
    await world.sql("UPDATE meter SET started_at = :b, due_at = :b, traffic_at = :b", b=begin)
    await world.sql("UPDATE rate_period SET begins_at = :b", b=begin)
    await world.sql("ALTER TABLE ledger_entry DISABLE TRIGGER append_only")  # the credit was there before
    await world.sql("UPDATE ledger_entry SET at = :b", b=begin)
    await moved(world, number, begin, 1000, 20)
    await moved(world, number, begin, 0, 900)
    await charge(world.database, TERMS, at=begin + HOUR * 1.1)
    assert await ledger(client, "traffic") == []
    await moved(world, number, begin + HOUR, 124.5, 0)  # 100.5 GB beyond the plan's 1024
    usage = (await client("GET", "/account/usage/")).json()["servers"][0]
    assert usage["traffic"] | {"forecast": ""} == {
        "used_gb": 1124.5,
        "included_gb": 1024,
        "cost": "1.005000",
        "forecast": "",
    }
    for _ in range(2):
        await charge(world.database, TERMS, at=begin + 3 * HOUR)
    [entry] = await ledger(client, "traffic")
    assert (entry["amount"], entry["traffic_gb"], entry["server_id"]) == ("-1.005000", 100.5, number)
    assert entry["at"] == f"{begin + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    again = (await client("GET", "/account/usage/")).json()["servers"][0]
    assert (again["traffic"], again["cost"]) == (usage["traffic"], usage["cost"])
    invoice = (await client("GET", f"/account/invoices/{month}/")).json()
    assert [(one["hours"], one["traffic_gb"]) for one in invoice["lines"]] == [(4, None), (None, 100.5)]
    [listed] = (await client("GET", "/account/invoices/")).json()["results"]
    assert listed["total"] == invoice["total"] == "1.03"
    assert "100.5" in (await client("GET", f"/account/invoices/{month}/?format=csv")).text
    assert "100.5" in (await client("GET", f"/account/invoices/{month}/?format=html")).text
    assert "-1.005000" in (await client("GET", f"/account/ledger/?format=csv&month={month}")).text


async def ledger(client: Client, kind: str) -> list[dict[str, Any]]:
    listed = (await client("GET", "/account/ledger/?page_size=100")).json()["results"]
    return [one for one in listed if one["kind"] == kind]


async def test_traffic_uses_up_credit_and_a_deleted_server_pays_for_what_it_has_not_earned(world: World) -> None:
    client = await world.a_client(credit=1)
    number = await world.a_server(client)
    [(start,)] = await world.sql("SELECT started_at FROM meter")
    hour = start.replace(minute=0, second=0, microsecond=0)
    await moved(world, number, hour, 0, 500)
    assert (await client("DELETE", f"/servers/{number}/")).status_code == 204
    [(ended,)] = await world.sql("SELECT ended_at FROM meter")
    await charge(world.database, TERMS, at=ended)
    assert await ledger(client, "traffic") == []
    for _ in range(2):  # 500 GB less a 672nd of 1024 would cost 4.98: no more than the credit is taken
        await charge(world.database, TERMS, at=ended + HOUR)
    [entry] = await ledger(client, "traffic")
    assert (entry["amount"], entry["traffic_gb"]) == ("-0.992560", 498.47619)
    assert await world.sql("SELECT due_at, traffic_at FROM meter") == [(None, None)]
    [one] = (await client("GET", "/account/usage/")).json()["servers"]
    assert (one["deleted"], one["cost"], one["forecast"]) == (True, "1.000000", "1.000000")
    assert (one["traffic"]["used_gb"], one["traffic"]["cost"]) == (500, "0.992560")
