"""`/account/me/`: who a token belongs to."""

from fastapi import APIRouter
from typing_extensions import TypedDict

from openvps.accounts import queries
from openvps.accounts.auth import Anyone
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.core.clock import iso
from openvps.core.money import major
from openvps.ledger import queries as ledger

router = APIRouter(tags=["account"], route_class=Route)


class Account(TypedDict):
    """Who pays; `balance` and what of it is `held` for servers, in the installation's currency."""

    email: str
    first_name: str
    last_name: str
    company_name: str
    created_at: str
    balance: float
    held: float


class TokenInUse(TypedDict):
    """The token that the request was made with."""

    name: str
    permissions: list[str]
    created_at: str
    last_used_at: str | None
    expires_at: str | None


class Me(TypedDict):
    """The account and the token in use."""

    account: Account
    token: TokenInUse


@router.get("/account/me/")
async def get_account(caller: Anyone, conn: Conn) -> Me:
    """Show the account and the token in use."""
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
