"""Creating a server: one transaction in which everything is checked, reserved, written and set going, or nothing.

Dies before the commit: nothing happened. Dies after it: the row and the job are there, and a worker makes it true.
"""

from dataclasses import dataclass
from datetime import timedelta

from openvps.accounts import audit
from openvps.accounts import queries as accounts
from openvps.accounts.auth import Caller
from openvps.accounts.ssh_keys import queries as ssh_keys
from openvps.actions import queries as actions
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.plans import queries as plans
from openvps.compute.servers import queries
from openvps.compute.servers.fields import NewServer
from openvps.compute.servers.states import TRANSITIONS
from openvps.compute.systems import queries as systems
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InsufficientCredit, Unavailable
from openvps.core.money import first_hours, major
from openvps.core.requests import Body
from openvps.core.settings import Settings
from openvps.ledger import queries as ledger

CELL_SEEN_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True)
class _Order:
    """What was asked for, looked up."""

    plan: Record
    location_id: int
    cells: list[Record]
    keys: list[str]


async def create(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> Record:
    """Reserve and write a server and set it going; returns it as the API shows it.

    Raises InvalidFields, BadRequest (quota), InsufficientCredit, Unavailable.
    """
    account = await accounts.lock_account(conn, caller.account_id)
    order = await _look_up(conn, caller, body, settings)
    fields = body.check()
    limit = settings.max_servers if account.max_servers is None else account.max_servers
    if await queries.count_of_account(conn, caller.account_id) >= limit:
        raise BadRequest(f"This account may have {limit} servers. Delete one, or ask your provider for more.")
    hold = first_hours(order.plan.price_monthly_micro, settings.hold_hours)
    balance = await ledger.balance(conn, caller.account_id)
    if balance.free_micro < hold:
        raise InsufficientCredit(
            f"Not enough credit: this plan needs {major(hold)} {settings.currency} for its first "
            f"{settings.hold_hours} hours, and {major(balance.free_micro)} is free. Add credit and try again."
        )
    cell_id, image_id = await _reserve(conn, body, order)
    at, way = now(), TRANSITIONS["create"]
    server_id = await queries.add(
        conn,
        account_id=caller.account_id,
        name=fields.name,
        hostname=fields.hostname or fields.name.lower(),
        status=way.meanwhile,
        wanted=way.wanted,
        look_at=at,
        deadline_at=at + timedelta(seconds=way.deadline_s or 0),
        plan_id=order.plan.id,
        vcpus=order.plan.vcpus,
        memory_mib=order.plan.memory_mib,
        storage_gb=order.plan.storage_gb,
        price_monthly_micro=order.plan.price_monthly_micro,
        system_id=fields.os_id,
        image_id=image_id,
        cell_id=cell_id,
        location_id=order.location_id,
        authorized_keys=order.keys,
        user_data=fields.user_data,
        tags=fields.tags,
        backups_enabled=fields.backups_enabled,
    )
    if not await addresses.take_v4(conn, cell_id=cell_id, server_id=server_id, at=at):
        raise Unavailable("This location has no free address now. Try again later.", retry_after_s=60)
    await addresses.take_v6(conn, cell_id=cell_id, server_id=server_id)
    await ledger.hold(conn, account_id=caller.account_id, amount_micro=hold, reference=f"server:{server_id}")
    await actions.begin(
        conn, account_id=caller.account_id, kind="server.create", subject_id=server_id, exclusive=True
    )
    await audit.record(conn, caller, "create_server", f"server {server_id}")
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server_id}", priority=jobs.CUSTOMER, server_id=server_id)
    row = await queries.shown(conn, caller.account_id, server_id)
    if row is None:
        raise LookupError(f"server {server_id} vanished in its own transaction")
    return row


async def _look_up(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> _Order:
    """Look up what the good fields name. Raises InvalidFields with all that is wrong or isn't there."""
    fields = body.fields
    plan = await _plan(conn, caller, body, settings)
    location_id = await locations.active(conn, fields.location) if body.good("location") else None
    if body.good("location") and location_id is None:
        body.wrong("location", f"There is no location {fields.location[:40]!r}; see GET /api/v1/locations/.")
    if body.good("os_id") and not await systems.known(conn, fields.os_id):
        body.wrong("os_id", f"There is no operating system {fields.os_id}; see GET /api/v1/operating-systems/.")
    keys = await _keys(conn, caller, body)
    cells: list[Record] = []
    if plan and location_id:
        cells = await locations.candidates(conn, location_id, plan)
        if not cells:
            body.wrong("plan_id", f"No host in {fields.location} can hold this plan; see its `locations`.")
    body.check()
    if plan is None or location_id is None:
        raise LookupError("a field without a finding passed the check")
    return _Order(plan, location_id, cells, keys)


async def _plan(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> Record | None:
    if not body.good("plan_id"):
        return None
    plan = await plans.offered(conn, body.fields.plan_id)
    if plan is None:
        body.wrong("plan_id", f"There is no plan {body.fields.plan_id}; see GET /api/v1/plans/.")
    elif plan.kind == "container" and settings.container_plans == "operators" and not caller.is_operator:
        body.wrong("plan_id", "This plan shares the host's kernel and is offered to the operator only.")
    return plan


async def _keys(conn: Connection, caller: Caller, body: Body[NewServer]) -> list[str]:
    if not body.good("ssh_key_id"):
        return []
    if body.fields.ssh_key_id is None:
        return await ssh_keys.lines(conn, caller.account_id)
    key = await ssh_keys.key(conn, caller.account_id, body.fields.ssh_key_id)
    if key is None:
        body.wrong("ssh_key_id", f"The account has no SSH key {body.fields.ssh_key_id}; see GET /api/v1/ssh-keys/.")
        return []
    return [key.public_key]


async def _reserve(conn: Connection, body: Body[NewServer], order: _Order) -> tuple[int, int]:
    """Take room in the roomiest cell that has an image; returns the ids of cell and image."""
    built = False
    for cell in order.cells:
        image = await systems.newest_image(conn, cell.id, body.fields.os_id)
        built = built or image is not None
        if image and await locations.reserve(conn, cell.id, order.plan, seen_since=now() - CELL_SEEN_WITHIN):
            return cell.id, image.id
    if not built:
        body.wrong("os_id", "This operating system has no image in this location yet; see `available`.")
        body.check()
    if not any(cell.seen_at and cell.seen_at >= now() - CELL_SEEN_WITHIN for cell in order.cells):
        raise Unavailable("This location doesn't answer now. Try again in a few minutes.", retry_after_s=60)
    raise Unavailable(
        "This location is full: it has no room for this plan now. Try a smaller plan or another location.",
        retry_after_s=300,
    )
