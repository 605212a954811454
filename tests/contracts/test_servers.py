"""The nine endpoints as the published page has them: what is answered and written, without an engine."""

import asyncio
from typing import Any

import pytest

from factories import ED25519, Client, World
from openvps.compute.servers.states import TRANSITIONS

pytestmark = pytest.mark.anyio

GOOD = {"name": "web-server-02", "plan_id": 1, "os_id": 3, "location": "us-west"}
SUMMARY = {"id", "name", "hostname", "status", "ip_address", "location", "plan", "os", "created_at", "updated_at"}
DETAIL = SUMMARY | {"ipv6_address", "backups_enabled", "resource_usage"}
USAGE = {"cpu_percent", "memory_used", "disk_used", "bandwidth_used"}


def typed(body: dict[str, Any]) -> None:
    """Check the documented types of a summary."""
    assert isinstance(body["id"], int)
    assert all(isinstance(body[key], str) for key in ("name", "hostname", "status", "location", "created_at"))
    assert body["created_at"].endswith("Z")
    assert len(body["created_at"]) == 20
    assert {"id", "name", "vcpus", "memory", "storage"} <= set(body["plan"])
    assert {"id", "name"} <= set(body["os"])


async def test_create_answers_as_the_page_has_it(world: World) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", {**GOOD, "hostname": "web02.example.com", "backups_enabled": True})
    body = answer.json()
    assert answer.status_code == 201
    assert set(body) >= SUMMARY | {"backups_enabled", "message"}
    typed(body)
    assert body["status"] == "provisioning"
    assert body["ip_address"] is None
    assert body["plan"] == {"id": 1, "name": "Standard VPS", "vcpus": 2, "memory": 4096, "storage": 80}
    assert body["os"] == {"id": 3, "name": "Debian 12"}
    assert (body["hostname"], body["location"], body["backups_enabled"]) == ("web02.example.com", "us-west", True)


async def test_the_list_has_count_and_summaries_newest_first(world: World) -> None:
    customer = await world.a_client()
    first = await world.a_server(customer, name="first")
    second = await world.a_server(customer, name="second", status="stopped")
    body = (await customer("GET", "/servers/")).json()
    assert body["count"] == 2
    assert [one["id"] for one in body["results"]] == [second, first]
    for one in body["results"]:
        assert set(one) >= SUMMARY
        typed(one)


async def test_the_list_is_filtered_by_status_and_location(world: World) -> None:
    customer = await world.a_client()
    running = await world.a_server(customer)
    await world.a_server(customer, status="stopped")
    body = (await customer("GET", "/servers/?status=active&location=us-west")).json()
    assert [one["id"] for one in body["results"]] == [running]
    assert (await customer("GET", "/servers/?location=eu-central")).json()["count"] == 0
    wrong = await customer("GET", "/servers/?status=asleep")
    assert (wrong.status_code, set(wrong.json())) == (400, {"status"})


async def test_the_list_comes_in_pages(world: World) -> None:
    customer = await world.a_client()
    made = [await world.a_server(customer) for _ in range(3)]
    body = (await customer("GET", "/servers/?page_size=2")).json()
    assert (body["count"], len(body["results"]), body["previous"]) == (3, 2, None)
    rest = (await customer("GET", body["next"])).json()
    assert [one["id"] for one in rest["results"]] == [made[0]]
    assert rest["next"] is None
    assert "page=1" in rest["previous"]
    past = await customer("GET", "/servers/?page=9")
    assert (past.status_code, past.json()) == (404, {"detail": "Invalid page."})


async def test_one_server_shows_its_usage(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    body = (await customer("GET", f"/servers/{number}/")).json()
    assert set(body) >= DETAIL
    typed(body)
    assert body["plan"]["bandwidth"] == 1024
    assert set(body["resource_usage"]) == USAGE
    assert body["ip_address"].startswith("10.77.")
    assert ":" in body["ipv6_address"]


async def test_a_server_is_found_by_its_uuid_and_without_the_slash(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    uuid = (await customer("GET", f"/servers/{number}")).json()["uuid"]
    assert (await customer("GET", f"/servers/{uuid}/")).json()["id"] == number


@pytest.mark.parametrize("reference", ["0", "999999", "abc", "-1", "9" * 30, "00000000-0000-4000-8000-000000000000"])
async def test_an_unknown_server_is_404_everywhere(world: World, reference: str) -> None:
    customer = await world.a_client()
    full = {"name": "a", "hostname": "a", "backups_enabled": False}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", full),
        ("PATCH", "", {"name": "b"}),
        ("DELETE", "", None),
        ("POST", "start/", None),
        ("POST", "stop/", None),
        ("POST", "reboot/", None),
        ("POST", "reset-password/", None),
    ):
        answer = await customer(method, f"/servers/{reference}/{path}", body)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."}), (method, path)


async def test_anothers_server_is_404(world: World) -> None:
    owner, stranger = await world.a_client(), await world.a_client()
    number = await world.a_server(owner)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "stop/"), ("POST", "reset-password/")):
        assert (await stranger(method, f"/servers/{number}/{path}")).status_code == 404
    assert (await stranger("GET", "/servers/")).json()["count"] == 0
    assert (await owner("GET", f"/servers/{number}/")).json()["status"] == "active"


async def test_put_needs_all_three_fields(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    missing = await customer("PUT", f"/servers/{number}/", {"name": "other"})
    assert (missing.status_code, set(missing.json())) == (400, {"hostname", "backups_enabled"})
    full = {"name": "web-server-updated", "hostname": "web-updated.example.com", "backups_enabled": True}
    answer = await customer("PUT", f"/servers/{number}/", full)
    assert answer.status_code == 200
    assert set(answer.json()) >= DETAIL
    assert {key: answer.json()[key] for key in full} == full


async def test_patch_changes_only_what_is_given(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer, hostname="keep.example.com", backups_enabled=True)
    body = (await customer("PATCH", f"/servers/{number}/", {"name": "new-server-name"})).json()
    assert (body["name"], body["hostname"], body["backups_enabled"]) == (
        "new-server-name",
        "keep.example.com",
        True,
    )
    assert (await customer("PATCH", f"/servers/{number}/", {"backups_enabled": False})).json()["name"] == body["name"]


async def test_a_new_hostname_wakes_converge(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    await world.sql("DELETE FROM procrastinate_jobs")
    await customer("PATCH", f"/servers/{number}/", {"name": "only-a-label"})
    assert await world.sql("SELECT 1 FROM procrastinate_jobs") == []
    await customer("PATCH", f"/servers/{number}/", {"hostname": "new.example.com"})
    assert await world.sql("SELECT lock FROM procrastinate_jobs") == [(f"server:{number}",)]


POWER = {"start": ("stopped", "starting"), "stop": ("active", "stopping"), "reboot": ("active", "rebooting")}


@pytest.mark.parametrize("verb", POWER)
async def test_power_answers_as_the_page_has_it(world: World, verb: str) -> None:
    customer = await world.a_client()
    before, meanwhile = POWER[verb]
    number = await world.a_server(customer, name="web-server-01", status=before)
    answer = await customer("POST", f"/servers/{number}/{verb}/")
    assert answer.status_code == 200
    [(action,)] = await world.sql("SELECT max(id) FROM action")
    assert answer.json() == {
        "status": "success",
        "action_id": action,
        "message": f"Server is {meanwhile}",
        "server": {"id": number, "name": "web-server-01", "status": meanwhile},
    }
    assert (await customer("GET", f"/servers/{number}/")).json()["status"] == meanwhile


@pytest.mark.parametrize("verb", POWER)
async def test_power_is_refused_in_every_other_status(world: World, verb: str) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    for status in ("active", "stopped", "error", "provisioning", "starting", "stopping", "rebooting", "suspended"):
        if status in TRANSITIONS[verb].allowed:
            continue
        await world.sql("UPDATE server SET status = :status WHERE id = :id", status=status, id=number)
        answer = await customer("POST", f"/servers/{number}/{verb}/")
        assert answer.status_code == 400, status
        assert status in answer.json()["detail"]


async def test_two_stops_at_the_same_instant_begin_one(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    answers = await asyncio.gather(*(customer("POST", f"/servers/{number}/stop/") for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [200, 400, 400, 400, 400]
    assert await world.sql("SELECT count(*) FROM action WHERE kind = 'server.stop'") == [(1,)]


async def test_a_deleted_server_is_gone_at_once(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    answer = await customer("DELETE", f"/servers/{number}/")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await customer("GET", f"/servers/{number}/")).status_code == 404
    assert (await customer("DELETE", f"/servers/{number}/")).status_code == 404
    assert (await customer("GET", "/servers/")).json()["count"] == 0


async def test_delete_cancels_what_runs_and_says_why(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer, status="provisioning")
    await customer("DELETE", f"/servers/{number}/")
    rows = await world.sql("SELECT kind, status, error FROM action ORDER BY id")
    assert rows == [
        ("server.create", "cancelled", "The server was deleted."),
        ("server.delete", "running", None),
    ]


async def test_a_password_is_shown_once_and_kept_hashed(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    body = (await customer("POST", f"/servers/{number}/reset-password/")).json()
    kept = await world.sql("SELECT password_hash FROM server")
    assert len(body["password"]) == 20
    assert kept[0][0].startswith("$6$")
    assert body["password"] not in str(await world.sql("SELECT * FROM server, audit_entry, procrastinate_jobs"))
    stopped = await world.a_server(customer, status="stopped")
    assert (await customer("POST", f"/servers/{stopped}/reset-password/")).status_code == 400


# bad input


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "under_score"),
        ("name", "-edge"),
        ("name", "edge-"),
        ("name", ""),
        ("name", "a" * 64),
        ("name", "two words"),
        ("name", "line\n"),
        ("name", 5),
        ("name", None),
        ("plan_id", 99),
        ("plan_id", "1"),
        ("plan_id", True),
        ("plan_id", 1 << 70),
        ("os_id", 4),
        ("os_id", -1),
        ("location", "moon"),
        ("location", ["us-west"]),
        ("hostname", "a..b"),
        ("hostname", "a b"),
        ("hostname", "x" * 64),
        ("hostname", ".".join(["abc"] * 70)),
        ("ssh_key_id", 77),
        ("ssh_key_id", "one"),
        ("backups_enabled", "yes"),
        ("user_data", "x" * 65537),
        ("tags", ["has space"]),
        ("tags", "web"),
    ],
)
async def test_a_bad_field_is_named(world: World, field: str, value: Any) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", {**GOOD, field: value})
    assert answer.status_code == 400
    assert set(answer.json()) == {field}
    assert all(isinstance(text, str) and text for text in answer.json()[field])
    assert await world.sql("SELECT 1 FROM server") == []


async def test_all_bad_fields_are_named_at_once(world: World) -> None:
    customer = await world.a_client()
    body = {"name": "a_b", "plan_id": 99, "os_id": 98, "location": "moon", "hostname": "-", "ssh_key_id": 97}
    answer = await customer("POST", "/servers/", body)
    assert (answer.status_code, set(answer.json())) == (400, set(body))
    empty = await customer("POST", "/servers/", {})
    assert (empty.status_code, set(empty.json())) == (400, {"name", "plan_id", "os_id", "location"})


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"name": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b" " * ((1 << 20) + 1), "application/json", 413),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(world: World, content: bytes, kind: str, status: int) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}


async def test_unknown_paths_and_methods_are_json(world: World) -> None:
    customer = await world.a_client()
    assert (await customer("GET", "/nothing/")).json() == {"detail": "Not Found."}
    assert (await customer("DELETE", "/servers/")).status_code == 405
    assert "detail" in (await customer("DELETE", "/servers/")).json()


# who may


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic dTpw", "Bearer vps_" + "a" * 38])
async def test_without_a_good_token_it_is_401(world: World, header: str | None) -> None:
    answer = await world.http.get("/servers/", headers={"Authorization": header} if header is not None else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"]


@pytest.mark.parametrize("how", ["revoked_at = now()", "expires_at = now() - interval '1 second'"])
async def test_a_revoked_or_expired_token_is_401(world: World, how: str) -> None:
    customer = await world.a_client()
    assert (await customer("GET", "/servers/")).status_code == 200
    await world.sql(f"UPDATE token SET {how}")
    assert (await customer("GET", "/servers/")).status_code == 401


async def test_a_token_may_only_what_it_is_permitted(world: World) -> None:
    owner = await world.a_client()
    number = await world.a_server(owner)
    reader = await world.a_client(account_id=owner.account_id, permissions=("servers:read",))
    assert (await reader("GET", f"/servers/{number}/")).status_code == 200
    assert (await reader("GET", "/ssh-keys/")).status_code == 403
    for method, path, body in (("POST", "/servers/", GOOD), ("DELETE", f"/servers/{number}/", None)):
        answer = await reader(method, path, body)
        assert answer.status_code == 403
        assert "servers:write" in answer.json()["detail"]


# money, room, addresses


async def test_no_credit_is_402_and_makes_nothing(world: World) -> None:
    customer = await world.a_client(credit=0)
    answer = await customer("POST", "/servers/", GOOD)
    assert answer.status_code == 402
    assert "0.36" in answer.json()["detail"]  # 24 of 672 hours of 10.00
    assert await world.sql("SELECT 1 FROM server") == []
    assert await world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell") == [(0, 0, 0)]


async def test_the_same_credit_is_not_held_twice(world: World) -> None:
    customer = await world.a_client(credit=1)  # 2 holds of 0.357142 fit, a third doesn't
    answers = await asyncio.gather(*(customer("POST", "/servers/", GOOD) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 201, 402, 402]


async def test_the_quota_of_servers_holds_at_the_same_instant(world: World) -> None:
    customer = await world.a_client()
    await world.sql("UPDATE account SET max_servers = 2")
    answers = await asyncio.gather(*(customer("POST", "/servers/", GOOD) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 201, 400, 400]


async def test_a_full_cell_is_503_and_never_overfilled(world: World) -> None:
    await world.sql("UPDATE cell SET room_memory_mib = 3 * 4096 + 100")
    customers = [await world.a_client() for _ in range(6)]
    answers = await asyncio.gather(*(one("POST", "/servers/", GOOD) for one in customers))
    assert sorted(one.status_code for one in answers) == [201, 201, 201, 503, 503, 503]
    refused = next(one for one in answers if one.status_code == 503)
    assert "full" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    plans = {one["id"]: one for one in (await customers[0]("GET", "/plans/")).json()["results"]}
    assert (plans[1]["available"], plans[1]["locations"]) == (False, [])


async def test_a_cell_not_seen_lately_is_503_and_reads_still_answer(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    await world.sql("UPDATE cell SET seen_at = now() - interval '3 minutes'")
    answer = await customer("POST", "/servers/", GOOD)
    assert answer.status_code == 503
    assert "answer" in answer.json()["detail"]
    assert (await customer("GET", f"/servers/{number}/")).status_code == 200


async def test_a_plan_larger_than_every_host_is_not_available(world: World) -> None:
    await world.sql("UPDATE cell SET largest_vcpus = 2")
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", {**GOOD, "plan_id": 2})
    assert (answer.status_code, set(answer.json())) == (400, {"plan_id"})
    assert (await customer("GET", "/plans/2/")).json()["available"] is False
    assert [one["id"] for one in (await customer("GET", "/plans/?location=us-west")).json()["results"]] == [1, 3]


async def test_a_system_without_an_image_is_not_available(world: World) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", {**GOOD, "os_id": 5})
    assert (answer.status_code, set(answer.json())) == (400, {"os_id"})


async def test_creates_at_once_get_addresses_of_their_own(world: World) -> None:
    customers = [await world.a_client() for _ in range(8)]
    await asyncio.gather(*(one("POST", "/servers/", {**GOOD, "plan_id": 3}) for one in customers))
    rows = await world.sql("SELECT server_id, count(*) FROM address WHERE server_id IS NOT NULL GROUP BY 1")
    assert sorted(count for _, count in rows) == [2] * 8


async def test_an_empty_pool_is_503_and_gives_everything_back(world: World) -> None:
    await world.sql("DELETE FROM address")
    customer = await world.a_client()
    assert (await customer("POST", "/servers/", GOOD)).status_code == 503
    assert await world.sql("SELECT used_vcpus FROM cell") == [(0,)]
    assert await world.sql("SELECT 1 FROM ledger_hold") == []


async def test_a_resting_address_is_not_given_out(world: World) -> None:
    await world.sql("UPDATE address SET rests_until = now() + interval '1 hour' WHERE host(ip) <> '10.77.0.9'")
    customer = await world.a_client()
    number = await world.a_server(customer)
    assert (await customer("GET", f"/servers/{number}/")).json()["ip_address"] == "10.77.0.9"
    assert (await customer("POST", "/servers/", GOOD)).status_code == 503


async def a_key(customer: Client, name: str = "laptop", key: str = ED25519) -> dict[str, Any]:
    answer = await customer("POST", "/ssh-keys/", {"name": name, "public_key": key})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_no_key_named_means_all_keys_of_the_account(world: World) -> None:
    customer, stranger = await world.a_client(), await world.a_client()
    key = await a_key(customer)
    other = await a_key(stranger)
    await world.a_server(customer)
    await world.a_server(customer, ssh_key_id=key["id"])
    assert await world.sql("SELECT authorized_keys FROM server") == [([ED25519],), ([ED25519],)]
    answer = await customer("POST", "/servers/", {**GOOD, "ssh_key_id": other["id"]})
    assert (answer.status_code, set(answer.json())) == (400, {"ssh_key_id"})
