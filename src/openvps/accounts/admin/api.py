"""`/admin/accounts/`: everybody's accounts, for operators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from openvps.accounts import audit, passwords
from openvps.accounts.admin import manage, queries
from openvps.accounts.admin.fields import MAX_EMAIL, AccountChange, NewAccount, NewCredit, Reason
from openvps.accounts.admin.shape import Account, AccountDetail, InvitedAccount, detail, invited, shown
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.core.errors import BadRequest
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of
from openvps.ledger import queries as ledger

router = APIRouter(tags=["admin"], route_class=Route)

Reader = Annotated[Caller, guard("accounts:read", operator=True)]
Writer = Annotated[Caller, guard("accounts:write", operator=True)]


@router.get("/admin/accounts/")
async def list_accounts(
    *,
    request: Request,
    caller: Reader,  # noqa: ARG001 -- the guard is what it is for
    conn: Conn,
    at: Annotated[Page, Depends(page)],
    email: Annotated[
        str | None,
        Query(max_length=MAX_EMAIL, description="Only the account with this e-mail.", examples=["ada@example.com"]),
    ] = None,
) -> Listing[Account]:
    """List all accounts, oldest first. For operators."""
    count, rows = await queries.accounts(conn, email=email, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/admin/accounts/", status_code=201, openapi_extra=accepts(NewAccount))
async def create_account(
    caller: Writer, conn: Conn, body: Annotated[Body[NewAccount], Depends(body_of(NewAccount))]
) -> InvitedAccount:
    """Make an account. Without a password the answer has an invite, shown once, for its owner to set one."""
    fields = body.check()
    values = fields.model_dump(exclude={"password"})
    kept = await passwords.hashed(fields.password) if fields.password else None
    row, invite = await manage.create(conn, password_hash=kept, **values)
    await audit.record(conn, caller, "create_account", f"account {row.id}")
    return invited(row, invite)


@router.get("/admin/accounts/{reference_id}/")
async def show_account(
    reference_id: Reference,
    caller: Reader,  # noqa: ARG001 -- as above
    conn: Conn,
) -> AccountDetail:
    """Show one account, with its balance and how many servers it has. For operators."""
    row = await manage.find(conn, reference_id)
    return detail(row, await ledger.balance(conn, row.id), await queries.servers(conn, row.id))


@router.patch("/admin/accounts/{reference_id}/", openapi_extra=accepts(AccountChange))
async def change_account(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[AccountChange], Depends(body_of(AccountChange))],
) -> Account:
    """Change an account's e-mail, names or quotas; what isn't given stays. For operators."""
    fields = body.check()
    before = await manage.find(conn, reference_id, lock=True)
    values = {name: getattr(fields, name) for name in sorted(body.given)}
    row = await manage.change(conn, before.id, values)
    await audit.record(conn, caller, "change_account", f"account {row.id}", fields=" ".join(values))
    return shown(row)


@router.delete(
    "/admin/accounts/{reference_id}/",
    status_code=204,
    responses={400: {"description": "Bad request - the account has servers, or is your own"}},
)
async def delete_account(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete an account that has no servers, with its tokens, keys and personal data. For operators.

    Its ledger, its actions and the audit log stay. This can't be undone.
    """
    row = await manage.find(conn, reference_id)
    _not_oneself(caller, row.id, "delete")
    await manage.remove(conn, row.id)
    await audit.record(conn, caller, "delete_account", f"account {row.id}")
    return Response(status_code=204)


@router.post("/admin/accounts/{reference_id}/disable/", openapi_extra=accepts(Reason))
async def disable_account(
    reference_id: Reference, caller: Writer, conn: Conn, body: Annotated[Body[Reason], Depends(body_of(Reason))]
) -> Account:
    """Shut an account: its tokens are refused from the next request on, and nobody signs in. For operators.

    Its servers stay as they are.
    """
    fields = body.check()
    found = await manage.find(conn, reference_id)
    _not_oneself(caller, found.id, "disable")
    row = await manage.disable(conn, found.id, fields.reason)
    await audit.record(conn, caller, "disable_account", f"account {row.id}", reason=fields.reason)
    return shown(row)


@router.post("/admin/accounts/{reference_id}/enable/", openapi_extra=accepts(Reason))
async def enable_account(
    reference_id: Reference, caller: Writer, conn: Conn, body: Annotated[Body[Reason], Depends(body_of(Reason))]
) -> Account:
    """Open a disabled account again; its tokens work as before. For operators."""
    fields = body.check()
    row = await manage.enable(conn, (await manage.find(conn, reference_id)).id)
    await audit.record(conn, caller, "enable_account", f"account {row.id}", reason=fields.reason)
    return shown(row)


@router.post("/admin/accounts/{reference_id}/credit/", status_code=201, openapi_extra=accepts(NewCredit))
async def credit_account(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[NewCredit], Depends(body_of(NewCredit))],
) -> AccountDetail:
    """Add a payment to an account's credit, or an adjustment with a reason. For operators."""
    fields = body.check()
    row = await manage.find(conn, reference_id, lock=True)
    if await manage.credit(conn, row.id, **fields.model_dump()):
        await audit.record(
            conn, caller, "credit_account", f"account {row.id}", amount=str(fields.amount), reason=fields.reason
        )
    return detail(row, await ledger.balance(conn, row.id), await queries.servers(conn, row.id))


@router.post("/admin/accounts/{reference_id}/suspend/", openapi_extra=accepts(Reason))
async def suspend_account(
    reference_id: Reference, caller: Writer, conn: Conn, body: Annotated[Body[Reason], Depends(body_of(Reason))]
) -> Account:
    """Have an account's servers turned off and kept so, with a reason that its customer is told. For operators."""
    fields = body.check()
    row = await manage.suspend(conn, (await manage.find(conn, reference_id)).id, fields.reason)
    await audit.record(conn, caller, "suspend_account", f"account {row.id}", reason=fields.reason)
    return shown(row)


@router.post("/admin/accounts/{reference_id}/unsuspend/", openapi_extra=accepts(Reason))
async def unsuspend_account(
    reference_id: Reference, caller: Writer, conn: Conn, body: Annotated[Body[Reason], Depends(body_of(Reason))]
) -> Account:
    """End an operator's suspension: the servers start as before, if there is credit. For operators."""
    fields = body.check()
    row = await manage.unsuspend(conn, (await manage.find(conn, reference_id)).id)
    await audit.record(conn, caller, "unsuspend_account", f"account {row.id}", reason=fields.reason)
    return shown(row)


@router.post("/admin/accounts/{reference_id}/invite/", status_code=201)
async def invite_account(reference_id: Reference, caller: Writer, conn: Conn) -> InvitedAccount:
    """Make a new invite, for who lost theirs or the password; an older one ends. For operators."""
    found = await manage.find(conn, reference_id, lock=True)
    made = await manage.invite_again(conn, found.id)
    await audit.record(conn, caller, "invite_account", f"account {found.id}")
    return invited(await manage.find(conn, found.id), made)


@router.post("/admin/accounts/{reference_id}/reset-second-factor/")
async def reset_second_factor(reference_id: Reference, caller: Writer, conn: Conn) -> Account:
    """Have an account's password be enough again, for who lost the app and the recovery codes. For operators.

    Be sure that it is the owner who asks.
    """
    row = await manage.reset_second_factor(conn, (await manage.find(conn, reference_id)).id)
    await audit.record(conn, caller, "reset_second_factor", f"account {row.id}")
    return shown(row)


def _not_oneself(caller: Caller, account_id: int, what: str) -> None:
    """Keep an operator from locking themselves out. Raises BadRequest."""
    if caller.account_id == account_id:
        raise BadRequest(f"This is your own account: have another operator {what} it, or do it on the host.")
