"""What a create needs: plans, operating systems, locations, and who one is."""

import pytest

from factories import World

pytestmark = pytest.mark.anyio

DOCUMENTED = {
    "id": int,
    "name": str,
    "slug": str,
    "vcpus": int,
    "memory": int,
    "storage": int,
    "bandwidth": int,
    "price_monthly": float,
    "price_hourly": float,
    "available": bool,
    "locations": list,
    "description": str,
}
CLIENTS = {
    "uuid": str,
    "cpu": int,
    "ram": int,
    "ram_unit": str,
    "disk_space": int,
    "transfer": int,
    "monthly_price": str,
    "hourly_price": str,
}


async def test_plans_speak_both_dialects(world: World) -> None:
    customer = await world.a_client()
    plans = (await customer("GET", "/plans/")).json()["results"]
    for plan in plans:
        for key, kind in (DOCUMENTED | CLIENTS).items():
            assert isinstance(plan[key], kind), key
    starter = next(one for one in plans if one["name"] == "Starter VPS")
    assert (starter["vcpus"], starter["memory"], starter["storage"], starter["bandwidth"]) == (1, 2048, 40, 1024)
    assert (starter["price_monthly"], starter["price_hourly"]) == (5.0, 0.007)
    assert starter["locations"] == ["us-west"]
    assert (await customer("GET", f"/plans/{starter['uuid']}/")).json() == starter
    assert (await customer("GET", "/plans/99/")).status_code == 404


async def test_documented_plans_have_the_pages_ids(world: World) -> None:
    customer = await world.a_client()
    plans = {one["id"]: one for one in (await customer("GET", "/plans/")).json()["results"]}
    assert [plans[1][key] for key in ("name", "vcpus", "memory", "storage", "bandwidth")] == [
        "Standard VPS",
        2,
        4096,
        80,
        2048,
    ]
    assert [plans[2][key] for key in ("name", "vcpus", "memory", "storage")] == ["Performance VPS", 4, 8192, 160]


async def test_operating_systems_name_what_has_an_image(world: World) -> None:
    customer = await world.a_client()
    families = (await customer("GET", "/operating-systems/")).json()["results"]
    versions = {one["id"]: one for family in families for one in family["versions"]}
    assert [family["name"] for family in families] == ["Debian", "Ubuntu"]
    assert (versions[3]["name"], versions[3]["available"]) == ("Debian 12", True)
    assert (versions[5]["name"], versions[5]["available"]) == ("Ubuntu 22.04 LTS", False)


async def test_locations_have_codes_and_countries(world: World) -> None:
    customer = await world.a_client()
    (location,) = (await customer("GET", "/locations/")).json()["results"]
    assert (location["code"], location["country_code"], location["is_active"]) == ("us-west", "US", True)
    assert isinstance(location["id"], int)
    assert (await customer("GET", f"/locations/{location['id']}/")).json() == location


async def test_any_live_token_may_ask_who_it_is(world: World) -> None:
    customer = await world.a_client(permissions=())
    body = (await customer("GET", "/account/me/")).json()
    assert set(body["account"]) >= {"email", "first_name", "last_name", "company_name", "created_at", "balance"}
    assert (body["account"]["balance"], body["token"]["permissions"]) == (100.0, [])
    assert (await customer("GET", "/plans/")).status_code == 403
