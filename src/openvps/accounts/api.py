"""`/account/me/`: who a token belongs to."""

from typing import Annotated, Any

from fastapi import APIRouter

from openvps.accounts import queries
from openvps.accounts.auth import Caller, Db, guard
from openvps.core.clock import iso
from openvps.core.money import major
from openvps.ledger import queries as ledger

router = APIRouter(tags=["account"])


@router.get("/account/me/")
async def get_account(caller: Annotated[Caller, guard(None)], db: Db) -> dict[str, Any]:
    """Show the account and the token in use."""
    async with db.begin() as conn:
        row = await queries.account_and_token(conn, caller.account_id, caller.token_id)
        balance = await ledger.balance(conn, caller.account_id)
    return {
        "account": {
            "email": row.email,
            "first_name": row.first_name,
            "last_name": row.last_name,
            "company_name": row.company_name,
            "created_at": row.created_at.date().isoformat(),
            "balance": major(balance.total_micro),
            "held": major(balance.held_micro),
        },
        "token": {
            "name": row.name,
            "permissions": row.permissions,
            "created_at": iso(row.token_created_at),
            "last_used_at": iso(row.last_used_at) if row.last_used_at else None,
            "expires_at": iso(row.expires_at) if row.expires_at else None,
        },
    }
