"""Each route, asked by its owner, a stranger, a token without the permission, and nobody: made from the route table.

A new route needs a line in CASES: `Case(thing=…, body=…)`. `thing` makes, as the owner, what the path's id names and
returns its id; for a list it makes what only the owner's list may hold. `body` is what the owner is answered 2xx for;
ID in it is the thing's id.
A route that is everybody's stands in PUBLIC; the console's pages are tried in test_console.py. A list or an id
that is the same for all says `shared=True`.
"""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from factories import ED25519, Client, World
from openvps.accounts import passwords
from openvps.accounts.permissions import ACTIONS, OPERATOR_RESOURCES, RESOURCES
from openvps.accounts.route import Route
from openvps.accounts.second_factor import codes
from openvps.app import BASE_PATH, SLICES
from openvps.billing import notices
from openvps.billing.charge import Terms, charge
from openvps.core.clock import now
from openvps.web.console.page import Door, Page

pytestmark = pytest.mark.anyio

Maker = Callable[[World, Client], Awaitable[Any]]
NUMBERS = count(1)
ID = "{reference_id}"
PASSWORD = "four words nobody guesses"
LARGE = {
    "slug": "large-vps",
    "name": "Large VPS",
    "vcpus": 4,
    "memory_mib": 8192,
    "storage_gb": 160,
    "bandwidth_gb": 4096,
    "price": "40.00",
}
NOBODYS_ID, NOBODYS_UUID = 1 << 40, "00000000-0000-4000-8000-000000000000"
ALL = tuple(f"{one}:{action}" for one in [*RESOURCES, *OPERATOR_RESOURCES] for action in ACTIONS)


def a_server(status: str = "active") -> Maker:
    async def make(world: World, owner: Client) -> int:
        return await world.a_server(owner, status=status)

    return make


async def an_action(world: World, owner: Client) -> Any:
    number = await world.a_server(owner)
    return (await owner("GET", f"/servers/{number}/actions/")).json()["results"][0]["id"]


async def a_snapshot(world: World, owner: Client) -> Any:
    return await world.a_snapshot(owner, await world.a_server(owner))


async def a_backup(world: World, owner: Client) -> Any:
    return await world.a_backup(owner, await world.a_server(owner))


async def a_key(_world: World, owner: Client) -> Any:
    return (await owner("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})).json()["id"]


async def a_token(_world: World, owner: Client) -> Any:
    return (await owner("POST", "/tokens/", {"name": "script", "permissions": ["servers:read"]})).json()["id"]


async def an_entry(world: World, owner: Client) -> Any:
    await a_key(world, owner)
    return (await owner("GET", "/account/audit/")).json()["results"][0]["id"]


async def an_account(_world: World, owner: Client) -> Any:
    made = await owner("POST", "/admin/accounts/", {"email": f"new{next(NUMBERS)}@example.com"})
    return made.json()["id"]


async def a_payment(_world: World, owner: Client) -> Any:
    return (await owner("GET", "/account/ledger/")).json()["results"][0]["id"]


async def an_invoice(world: World, owner: Client) -> Any:
    await world.a_server(owner)
    await charge(world.database, Terms(0))
    return (await owner("GET", "/account/invoices/")).json()["results"][0]["id"]


async def a_notice(world: World, owner: Client) -> Any:
    async with world.database.begin() as conn:
        await notices.add(conn, owner.account_id, "low", "Add credit.")
    return (await owner("GET", "/account/notices/")).json()["results"][0]["id"]


async def an_event(world: World, owner: Client) -> Any:
    await world.a_server(owner)
    return (await owner("GET", "/events/")).json()["results"][-1]["id"]


async def a_failed_create(world: World, owner: Client) -> Any:
    number = await world.a_server(owner, status="error")
    await world.sql("UPDATE server SET ready_at = NULL WHERE id = :id", id=number)
    return number


async def an_unfinished_action(world: World, _owner: Client) -> Any:
    await world.a_server(await world.a_client(), status="provisioning")
    return (await world.sql("SELECT max(id) FROM action"))[0][0]


async def a_cell(_world: World, _owner: Client) -> Any:
    return 1


async def a_report(_world: World, owner: Client) -> Any:
    return (await owner("POST", "/admin/consistency-reports/")).json()["id"]


async def a_webhook(_world: World, owner: Client) -> Any:
    return (await owner("POST", "/webhooks/", {"url": "https://example.com/hook"})).json()["id"]


async def a_delivery(world: World, owner: Client) -> Any:
    return (await owner("POST", f"/webhooks/{await a_webhook(world, owner)}/probe/")).json()["id"]


async def a_plan(_world: World, owner: Client) -> Any:
    return (await owner("GET", "/plans/")).json()["results"][0]["id"]


async def a_location(world: World, _owner: Client) -> Any:
    return (await world.sql("SELECT min(id) FROM location"))[0][0]


async def a_password(world: World, owner: Client) -> Any:
    kept = await passwords.hashed(PASSWORD)
    await world.sql("UPDATE account SET password_hash = :kept WHERE id = :id", kept=kept, id=owner.account_id)


async def a_first_code(world: World, owner: Client) -> Any:
    await a_password(world, owner)
    begun = (await owner("POST", "/account/second-factor/", {"password": PASSWORD})).json()
    return codes.code(base64.b32decode(begun["secret"]), codes.step_of(now()))


async def a_recovery_code(world: World, owner: Client) -> Any:
    code = await a_first_code(world, owner)
    confirmed = await owner("POST", "/account/second-factor/confirm/", {"code": code})
    return confirmed.json()["recovery_codes"][0]


@dataclass(frozen=True)
class Case:
    """How the owner makes what a route is about, and what is then sent."""

    thing: Maker | None = None
    body: dict[str, Any] | None = None
    shared: bool = False


CASES = {
    "list_servers": Case(a_server()),
    "create_server": Case(body={"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}),
    "get_server": Case(a_server()),
    "update_server": Case(a_server(), {"name": "web-2", "hostname": "web-2", "backups_enabled": False}),
    "patch_server": Case(a_server(), {"name": "web-2"}),
    "delete_server": Case(a_server()),
    "start_server": Case(a_server("stopped")),
    "stop_server": Case(a_server()),
    "reboot_server": Case(a_server()),
    "power_server": Case(a_server(), {"action": "hard_stop"}),
    "resize_server": Case(a_server(), {"plan": 1}),
    "rebuild_server": Case(a_server(), {"os_id": 3}),
    "list_server_actions": Case(a_server()),
    "get_server_metrics": Case(a_server()),
    "reset_password": Case(a_server()),
    "open_console": Case(a_server()),
    "get_action": Case(an_action),
    "list_snapshots": Case(a_snapshot),
    "create_snapshot": Case(a_server(), {"server_id": ID, "name": "before"}),
    "snapshot_server": Case(a_server(), {"label": "before"}),
    "get_snapshot": Case(a_snapshot),
    "delete_snapshot": Case(a_snapshot),
    "restore_snapshot": Case(a_snapshot),
    "list_backups": Case(a_backup),
    "create_backup": Case(a_server(), {"server_id": ID}),
    "backup_server": Case(a_server()),
    "get_backup": Case(a_backup),
    "delete_backup": Case(a_backup),
    "restore_backup": Case(a_backup),
    "list_events": Case(an_event),
    "list_webhooks": Case(a_webhook),
    "create_webhook": Case(body={"url": "https://example.com/hook"}),
    "get_webhook": Case(a_webhook),
    "patch_webhook": Case(a_webhook, {"kinds": ["server.status"]}),
    "delete_webhook": Case(a_webhook),
    "rotate_webhook_secret": Case(a_webhook, {"overlap_hours": 0}),
    "probe_webhook": Case(a_webhook),
    "list_webhook_deliveries": Case(a_webhook),
    "resend_webhook_delivery": Case(a_delivery),
    "verify_backup": Case(a_backup),
    "list_plans": Case(shared=True),
    "get_plan": Case(a_plan, shared=True),
    "list_operating_systems": Case(shared=True),
    "list_locations": Case(shared=True),
    "get_location": Case(a_location, shared=True),
    "list_ssh_keys": Case(a_key),
    "create_ssh_key": Case(body={"name": "laptop", "public_key": ED25519}),
    "get_ssh_key": Case(a_key),
    "delete_ssh_key": Case(a_key),
    "get_account": Case(),
    "get_second_factor": Case(),
    "begin_second_factor": Case(a_password, {"password": PASSWORD}),
    "confirm_second_factor": Case(a_first_code, {"code": ID}),
    "disable_second_factor": Case(a_recovery_code, {"password": PASSWORD, "code": ID}),
    "list_tokens": Case(a_token),
    "create_token": Case(body={"name": "script", "permissions": ["tokens:write"]}),
    "get_token": Case(a_token),
    "revoke_token": Case(a_token),
    "list_ledger_entries": Case(a_payment),
    "get_usage": Case(a_server()),
    "list_invoices": Case(an_invoice),
    "get_invoice": Case(an_invoice),
    "list_notices": Case(a_notice),
    "list_audit_entries": Case(an_entry),
    "list_all_audit_entries": Case(an_entry),
    "retry_server": Case(a_failed_create),
    "list_cells": Case(a_cell),
    "get_cell": Case(a_cell),
    "change_cell": Case(a_cell, {"creates_at_once": 8}),
    "pause_cell": Case(a_cell, {"reason": "new disks"}),
    "resume_cell": Case(a_cell),
    "list_location_pauses": Case(a_location),
    "pause_location": Case(a_location, {"reason": "new disks"}),
    "resume_location": Case(a_location),
    "list_unfinished_actions": Case(an_unfinished_action),
    "retry_action": Case(an_unfinished_action),
    "cancel_action": Case(an_unfinished_action, {"reason": "its host has failed"}),
    "list_sold_plans": Case(a_plan),
    "create_plan": Case(body=LARGE),
    "get_sold_plan": Case(a_plan),
    "change_plan": Case(a_plan, {"price": "7.50"}),
    "retire_plan": Case(a_plan),
    "list_consistency_reports": Case(a_report),
    "check_consistency": Case(body={"repair": True}),
    "get_consistency_report": Case(a_report),
    "list_accounts": Case(an_account),
    "create_account": Case(body={"email": "ada@example.com"}),
    "show_account": Case(an_account),
    "change_account": Case(an_account, {"first_name": "Ada"}),
    "delete_account": Case(an_account),
    "disable_account": Case(an_account, {"reason": "unpaid"}),
    "enable_account": Case(an_account),
    "invite_account": Case(an_account),
    "credit_account": Case(an_account, {"amount": "25.00"}),
    "suspend_account": Case(an_account, {"reason": "abuse"}),
    "unsuspend_account": Case(an_account),
    "reset_second_factor": Case(an_account),
}

PUBLIC = {
    f"{BASE_PATH}/console/",
    "/console/files",
    f"{BASE_PATH}/openapi.json",
    f"{BASE_PATH}/docs/",
    f"{BASE_PATH}/docs/{{section}}/",
    f"{BASE_PATH}/docs/static",
    f"{BASE_PATH}/reference/",
    f"{BASE_PATH}/reference/static",
    f"{BASE_PATH}/login/",
    f"{BASE_PATH}/account/accept-invite/",
}

GUARDED = {route.name: route for piece in SLICES for route in piece.router.routes if isinstance(route, Route)}
OWN = {name: route for name, route in GUARDED.items() if name in CASES and not CASES[name].shared}
OF_ONE = [name for name, route in OWN.items() if ID in route.path]
LISTS = [name for name, route in OWN.items() if ID not in route.path and name.startswith("list_")]


async def test_every_route_is_public_or_has_a_guard_and_a_case(world: World) -> None:
    routes = list(iter_route_contexts(world.app.routes))
    guarded = {one.name for one in routes if isinstance(one.original_route, Route)}
    assert guarded == set(GUARDED) == set(CASES), "a route without a case, or a case without a route: see CASES"
    assert {one.path for one in routes if not isinstance(one.original_route, Route | Page | Door)} == PUBLIC


def the_guard(name: str) -> tuple[str | None, bool]:
    guard = GUARDED[name].guard
    return guard.permission, guard.operator


async def the_owner(world: World, name: str, *, permissions: tuple[str, ...] = ALL) -> Client:
    return await world.a_client(operator=the_guard(name)[1], permissions=permissions)


async def ask(client: Client, name: str, thing: Any) -> Any:
    route = GUARDED[name]
    method = next(iter(route.methods or ()))
    body = CASES[name].body
    if body is not None:
        body = {field: thing if value == ID else value for field, value in body.items()}
    return await client(method, route.path.replace(ID, str(thing)), body)


async def the_thing(world: World, owner: Client, name: str) -> Any:
    make = CASES[name].thing
    return await make(world, owner) if make else None


@pytest.mark.parametrize("name", CASES)
async def test_the_owner_needs_the_permission_and_no_other(world: World, name: str) -> None:
    owner = await the_owner(world, name)
    wanted, _ = the_guard(name)
    thing = await the_thing(world, owner, name)
    assert (await ask(Client(0, "", world.http), name, thing)).status_code == 401
    if wanted:
        others = tuple(one for one in ALL if one != wanted)
        lacking = await world.a_client(account_id=owner.account_id, permissions=others)
        refused = await ask(lacking, name, thing)
        assert refused.status_code == 403
        assert wanted in refused.json()["detail"]
    enough = await world.a_client(account_id=owner.account_id, permissions=(wanted,) if wanted else ())
    answer = await ask(enough, name, thing)
    assert 200 <= answer.status_code < 300, answer.text


@pytest.mark.parametrize("name", OF_ONE)
async def test_anothers_is_not_found_and_the_owners_is(world: World, name: str) -> None:
    owner, stranger = await the_owner(world, name), await world.a_client(permissions=ALL)
    thing = await the_thing(world, owner, name)
    assert thing is not None
    refused = await ask(stranger, name, thing)
    if the_guard(name)[1]:  # an operator's: nobody else gets as far as an id
        assert refused.status_code == 403
        assert (await ask(owner, name, NOBODYS_ID)).status_code == 404
    else:
        assert refused.status_code == 404
        for nobodys in (NOBODYS_ID, NOBODYS_UUID):  # and looks no different from what isn't there at all
            missing = await ask(stranger, name, nobodys)
            assert (missing.status_code, missing.json()) == (404, refused.json())
    answer = await ask(owner, name, thing)
    assert 200 <= answer.status_code < 300, answer.text


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_has_the_owners_and_nobody_elses(world: World, name: str) -> None:
    owner, stranger = await the_owner(world, name), await world.a_client(permissions=ALL)
    thing = await the_thing(world, owner, name)
    assert thing in [one["id"] for one in (await ask(owner, name, None)).json()["results"]]
    refused = await ask(stranger, name, None)
    if the_guard(name)[1]:
        assert refused.status_code == 403
    else:
        assert thing not in [one["id"] for one in refused.json()["results"]]


async def test_anothers_key_is_no_key_of_mine(world: World) -> None:
    owner, stranger = await world.a_client(), await world.a_client()
    key = await a_key(world, owner)
    body = {**(CASES["create_server"].body or {}), "ssh_key_id": key}
    refused = await stranger("POST", "/servers/", body)
    assert (refused.status_code, set(refused.json())) == (400, {"ssh_key_id"})
    assert (await owner("POST", "/servers/", body)).status_code == 201
