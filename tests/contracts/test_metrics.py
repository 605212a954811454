"""`/servers/{id}/metrics/`: what was sampled comes back, gaps stay gaps, and bad questions are refused in words."""

from datetime import timedelta
from typing import Any

import pytest

from factories import World
from openvps.compute.usage import history
from openvps.compute.usage.resolutions import floor
from openvps.core.clock import iso, now

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


def a_sample(server: int) -> history.Sample:
    return history.Sample(server, 30.0, 60.0, 15.0, 64 << 20, 3_000_000_000, 5_000_000_000, 70)


async def test_samples_come_back_as_they_were_taken(world: World) -> None:
    customer = await world.a_client()
    server, other = await world.a_server(customer), await world.a_server(customer)
    minute = floor(now(), timedelta(minutes=1)) - timedelta(minutes=5)
    for seconds in (0, 30, 120):  # the second minute is a gap
        async with world.database.begin() as conn:
            await history.add(conn, minute + timedelta(seconds=seconds), [a_sample(server), a_sample(other)])
    for metric, unit, values in (
        ("cpu", "percent", [25.0, 25.0]),
        ("memory", "bytes", [64 << 20] * 2),
        ("disk", "bytes", [3_000_000_000] * 2),
        ("received", "bytes", [10_000_000_000, 5_000_000_000]),
        ("sent", "bytes", [140, 70]),
    ):
        body = (await customer("GET", f"/servers/{server}/metrics/?metric={metric}")).json()
        assert (body["metric"], body["unit"], body["step"]) == (metric, unit, 60)
        assert [one["value"] for one in body["values"]] == values
        assert [one["at"] for one in body["values"]] == [iso(minute), iso(minute + timedelta(minutes=2))]


@pytest.mark.parametrize(("ago", "step"), [(DAY * 0.9, 60), (DAY * 3, 300), (DAY * 30, 3600), (DAY * 390, 86400)])
async def test_the_finest_step_that_is_kept_is_taken(world: World, ago: timedelta, step: int) -> None:
    customer = await world.a_client()
    server = await world.a_server(customer)
    body = (await customer("GET", f"/servers/{server}/metrics/?start={iso(now() - ago)}")).json()
    assert (body["step"], body["values"]) == (step, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("metric=load", "metric"),
        ("start=yesterday", "start"),
        ("start=2026-01-01T00:00:00", "start"),
        ("end=9999-12-31T23:59:59-23:00", "end"),
        ("end=0001-01-01T00:00:00Z", "end"),
        ("start=2010-01-01T00:00:00Z", "start"),
        ("end=2300-01-01T00:00:00Z", "end"),
        ("step=61", "step"),
        ("step=-60", "step"),
        pytest.param(f"start={iso(now() - 2 * DAY)}&step=60", "step", id="finer-than-is-kept"),
        pytest.param(f"start={iso(now())}&end={iso(now() - DAY)}", "start", id="end-before-start"),
    ],
)
async def test_a_bad_question_names_its_field(world: World, query: str, field: str) -> None:
    customer = await world.a_client()
    server = await world.a_server(customer)
    answer = await customer("GET", f"/servers/{server}/metrics/?{query}")
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, list(body)) == (400, [field])
