"""Asking for another plan: what is checked, taken and written before converge makes it true.

Growing happens while the server runs. Less memory, and any change of a virtual machine, needs a restart, which the
answer announces: taking memory from running programs would have the kernel kill some of them.
"""

from uuid import UUID

from openvps.accounts import queries as accounts
from openvps.accounts import quotas
from openvps.accounts.auth import Caller
from openvps.compute.locations import queries as locations
from openvps.compute.servers import power, promise, queries
from openvps.compute.servers.fields import Resize
from openvps.compute.servers.order import named_plan, said, size_of
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import InsufficientCredit, NotFound, Unavailable
from openvps.core.money import first_hours, major, missing
from openvps.core.requests import Body
from openvps.core.settings import Settings
from openvps.ledger import queries as ledger


async def resize(
    conn: Connection, caller: Caller, reference: int | UUID, body: Body[Resize], settings: Settings
) -> tuple[Record, int, bool]:
    """Promise a server another plan and set it going; returns the server, the action's id, and whether it restarts.

    Raises NotFound, InvalidFields, BadRequest (status, quota), InsufficientCredit, Unavailable.
    """
    account = await accounts.lock_account(conn, caller.account_id)
    plan = await named_plan(conn, caller, body, settings, ("plan", "plan_id"))
    server = await queries.promised(conn, caller.account_id, reference)
    if server is None:
        raise NotFound
    if plan is not None and (text := await _misfit(conn, server, plan)):
        body.wrong(said(body, "plan", "plan_id"), text)
    body.check()
    if plan is None:
        raise LookupError("a plan without a finding passed the check")
    grows = size_of(plan).beyond(size_of(server))
    use = await queries.use_of_account(conn, account.id)
    for refusal in quotas.refusals(account, settings, use, servers=0, vcpus=grows.vcpus):
        raise refusal
    row, action_id = await power.begin(conn, caller, server.id, "resize", before=await promise.kept(conn, server))
    await _hold(conn, caller, server, plan, settings)
    if not await locations.reserve(conn, server.cell_id, grows, seen_since=now() - locations.SEEN_WITHIN):
        raise Unavailable(
            "The server's host has no room for this plan now. Try again later, or create a new server.",
            retry_after_s=300,
        )
    restarts = server.status == "active" and (plan.kind == "vm" or plan.memory_mib < server.memory_mib)
    if restarts:
        await queries.want_reboot(conn, server.id)
    await queries.promise(
        conn, server.id, {"plan_id": plan.id} | {name: getattr(plan, name) for name in promise.KEPT[1:]}
    )
    return row, action_id, restarts


async def _misfit(conn: Connection, server: Record, plan: Record) -> str | None:
    """Return why this server can't have this plan, whatever there is of room and credit."""
    if plan.id == server.plan_id:
        return "The server has this plan already."
    if plan.storage_gb < server.storage_gb:
        return f"A disk can't be made smaller: the server has {server.storage_gb} GB, this plan {plan.storage_gb} GB."
    if plan.kind != server.kind:
        return f"The server is a {server.kind}, and this plan is for a {plan.kind}. Create a new server."
    if server.cell_id not in {cell.id for cell in await locations.candidates(conn, server.location_id, plan)}:
        return "The server's host can't hold this plan. Create a new server."
    return None


async def _hold(conn: Connection, caller: Caller, server: Record, plan: Record, settings: Settings) -> None:
    """Hold credit for the new price's first hours instead of the old one's."""
    new = first_hours(plan.price_monthly_micro, settings.hold_hours)
    old = await ledger.held(conn, f"server:{server.id}")  # what charges haven't used up
    free = (await ledger.balance(conn, caller.account_id)).free_micro
    if free < new - old:
        raise InsufficientCredit(
            f"Not enough credit: this plan needs {major(new - old)} {settings.currency} more for its first "
            f"{settings.hold_hours} hours, and {major(free)} is free: {missing(new - old, free)} "
            "is missing. Add credit and try again."
        )
    await ledger.hold(conn, account_id=caller.account_id, amount_micro=new, reference=f"server:{server.id}")
