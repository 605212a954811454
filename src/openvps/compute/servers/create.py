"""Creating a server: one transaction in which everything is checked, reserved, written and set going, or nothing.

Dies before the commit: nothing happened. Dies after it: the row and the job are there, and a worker makes it true.
"""

from collections.abc import AsyncGenerator
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts import audit, quotas, standing
from openvps.accounts import queries as accounts
from openvps.accounts.auth import Caller
from openvps.actions import queries as actions
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.servers import queries, queue
from openvps.compute.servers.fields import NewServer
from openvps.compute.servers.order import Order, look_up, size_of
from openvps.compute.servers.states import TRANSITIONS
from openvps.compute.servers.stored import tag, wake
from openvps.compute.systems import queries as systems
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, Error, InsufficientCredit, InvalidFields, Unavailable
from openvps.core.money import HOURS_A_MONTH, MICRO, first_hours, major, missing
from openvps.core.requests import Body
from openvps.core.settings import Settings
from openvps.ledger import queries as ledger
from openvps.ledger import rates

PAUSED = "No new servers are made in this location for now; those that are there go on. Try another location."


class Price(TypedDict):
    """What a server costs, and how much credit must be there: the first `held_hours` hours are held."""

    currency: Annotated[str, Field(description="The currency, ISO 4217.", examples=["USD"])]
    monthly: Annotated[float, Field(description="Price of a month; no month costs more.", examples=[10.0])]
    hourly: Annotated[float, Field(description="Price of an hour, rounded for display.", examples=[0.015])]
    held: Annotated[float, Field(description="Credit that is held for the first hours.", examples=[0.36])]
    held_hours: Annotated[int, Field(description="How many hours that is.", examples=[24])]


class Refusal(TypedDict):
    """One thing for which a create would be refused: the status, and the body's texts."""

    status: Annotated[int, Field(description="The status that the create would be answered with.", examples=[402])]
    texts: Annotated[
        dict[str, list[str]],
        Field(
            description="What is wrong, field by field; `detail` where it is no field's.",
            examples=[{"detail": ["Not enough credit."]}],
        ),
    ]


class Preview(TypedDict):
    """What `POST /servers/?dry_run=true` answers; nothing was made."""

    dry_run: Annotated[bool, Field(description="Always true: nothing was made.", examples=[True])]
    possible: Annotated[bool, Field(description="Whether the create would succeed now.", examples=[True])]
    price: Annotated[Price | None, Field(description="What the server would cost; null where that can't be said.")]
    refusals: Annotated[
        list[Refusal], Field(description="Everything for which the create would be refused.", examples=[[]])
    ]


async def create(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> Record:
    """Reserve and write a server and set it going; returns it as the API shows it.

    Raises InvalidFields, BadRequest (quota), InsufficientCredit, Unavailable.
    """
    account = await accounts.lock_account(conn, caller.account_id)
    order = await look_up(conn, caller, body, settings)
    async for refusal in _refusals(conn, account, order.plan, settings):
        raise refusal
    return await _make(conn, caller, body, order, settings)


async def preview(conn: Connection, caller: Caller, body: Body[NewServer], settings: Settings) -> Preview:
    """Say what a create would cost and what would refuse it: everything is done but the commit."""
    account = await accounts.lock_account(conn, caller.account_id)
    refused: list[Error] = []
    price: Price | None = None
    trial = await conn.begin_nested()
    try:
        order = await look_up(conn, caller, body, settings)
        price = _price(order.plan, settings)
        refused += [one async for one in _refusals(conn, account, order.plan, settings)]
        await _make(conn, caller, body, order, settings)
    except Error as error:
        refused.append(error)
    finally:
        await trial.rollback()
    return {"dry_run": True, "possible": not refused, "price": price, "refusals": [_refusal(one) for one in refused]}


def _refusal(error: Error) -> Refusal:
    texts = error.fields if isinstance(error, InvalidFields) else {"detail": [error.detail]}
    return {"status": error.status.value, "texts": texts}


def _price(plan: Record, settings: Settings) -> Price:
    monthly = plan.price_monthly_micro
    return {
        "currency": settings.currency,
        "monthly": major(monthly),
        "hourly": round(monthly / MICRO / HOURS_A_MONTH, 3),
        "held": major(first_hours(monthly, settings.hold_hours)),
        "held_hours": settings.hold_hours,
    }


async def _refusals(conn: Connection, account: Record, plan: Record, settings: Settings) -> AsyncGenerator[Error]:
    """Yield why this account may not have one more server of this plan."""
    use = await queries.use_of_account(conn, account.id)
    for refusal in quotas.refusals(account, settings, use, servers=1, vcpus=plan.vcpus):
        yield refusal
    if account.suspended_at is not None:
        yield BadRequest(standing.why(None, account.suspended_at, account.suspended_reason) or "")
    hold = first_hours(plan.price_monthly_micro, settings.hold_hours)
    free = (await ledger.balance(conn, account.id)).free_micro
    if free < hold:
        yield InsufficientCredit(
            f"Not enough credit: this plan needs {major(hold)} {settings.currency} for its first "
            f"{settings.hold_hours} hours, and {major(free)} is free: {missing(hold, free)} "
            "is missing. Add credit and try again."
        )


async def _make(conn: Connection, caller: Caller, body: Body[NewServer], order: Order, settings: Settings) -> Record:
    """Take room, address and credit, write the row, and set it going. Raises InvalidFields, Unavailable."""
    cell_id, image_id = await _reserve(conn, body, order)
    at, way, plan = now(), TRANSITIONS["create"], order.plan
    server_id = await queries.add(
        conn,
        account_id=caller.account_id,
        name=order.name,
        hostname=order.hostname,
        status=way.meanwhile,
        wanted=way.wanted,
        look_at=at + queue.PATIENCE,
        deadline_at=at + queue.PATIENCE,
        plan_id=plan.id,
        vcpus=plan.vcpus,
        memory_mib=plan.memory_mib,
        storage_gb=plan.storage_gb,
        price_monthly_micro=plan.price_monthly_micro,
        system_id=order.system_id,
        image_id=image_id,
        cell_id=cell_id,
        location_id=order.location_id,
        authorized_keys=order.keys,
        user_data=body.fields.user_data,
        tags=body.fields.tags,
        backups_enabled=body.fields.backups_enabled,
    )
    if not await addresses.take_v4(conn, cell_id=cell_id, server_id=server_id, at=at):
        raise Unavailable("This location has no free address now. Try again later.", retry_after_s=60)
    await addresses.take_v6(conn, cell_id=cell_id, server_id=server_id)
    hold = first_hours(plan.price_monthly_micro, settings.hold_hours)
    await ledger.hold(conn, account_id=caller.account_id, amount_micro=hold, reference=f"server:{server_id}")
    await rates.start(
        conn,
        account_id=caller.account_id,
        server_id=server_id,
        name=order.name,
        rate=rates.Rate(plan.price_monthly_micro, plan.bandwidth_gb),
        at=await rates.lock(conn, caller.account_id),
    )
    await actions.begin(
        conn, account_id=caller.account_id, kind="server.create", subject_id=server_id, exclusive=True
    )
    await audit.record(conn, caller, "create_server", f"server {server_id}")
    if order.backup_id is not None:
        await queries.want_restore(conn, server_id, tag(order.backup_id))
        await queries.want_copy(conn, order.backup_id, at)
        await wake(conn, order.backup_id)
    await queue.admit(conn, cell_id, settings.creates_at_once, at)
    row = await queries.shown(conn, caller.account_id, server_id)
    if row is None:
        raise LookupError(f"server {server_id} vanished in its own transaction")
    return row


async def _reserve(conn: Connection, body: Body[NewServer], order: Order) -> tuple[int, int]:
    """Take room in the roomiest cell that has an image; returns the ids of cell and image."""
    built = False
    open_cells = [cell for cell in order.cells if not cell.paused]
    if not open_cells:
        raise Unavailable(PAUSED, retry_after_s=600)
    for cell in open_cells:
        image = await systems.newest_image(conn, cell.id, order.system_id)
        if image is None and order.backup_id is not None:  # it gets the backup's disk: another system's will do
            image = await systems.any_image(conn, cell.id, order.system_id)
        built = built or image is not None
        if image and await locations.reserve(
            conn, cell.id, size_of(order.plan), seen_since=now() - locations.SEEN_WITHIN
        ):
            return cell.id, image.id
    if not built:
        field = "os_id" if body.fields.os_id is not None else "os_version"
        body.wrong(field, "This operating system has no image in this location yet; see `available`.")
        body.check()
    if not any(cell.seen_at and cell.seen_at >= now() - locations.SEEN_WITHIN for cell in open_cells):
        raise Unavailable("This location doesn't answer now. Try again in a few minutes.", retry_after_s=60)
    raise Unavailable(
        "This location is full: it has no room for this plan now. Try a smaller plan or another location.",
        retry_after_s=300,
    )
