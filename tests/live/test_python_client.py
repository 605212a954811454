"""The walk of the client's own tests, which also passes on the published page's answers, on real servers."""

import pytest

from lab import Lab
from openvps.client import AsyncClient, Client
from walk import awalk, walk

pytestmark = [pytest.mark.live, pytest.mark.anyio]


def test_a_customers_day_by_the_sync_client(lab: Lab) -> None:
    with Client(lab.url, lab.token) as client:
        made, seen = walk(client, 100, 3, "us-west")
    assert (made.status, seen.status, seen.name) == ("active", "active", "walked-sync")
    assert made.ip_address


async def test_a_customers_day_by_the_async_client(lab: Lab) -> None:
    async with AsyncClient(lab.url, lab.token) as client:
        made, seen = await awalk(client, 100, 3, "us-west")
    assert (made.status, seen.status, seen.name) == ("active", "active", "walked-async")
