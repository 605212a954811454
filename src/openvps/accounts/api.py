"""`/account/me/`: who a token belongs to."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts import queries
from openvps.accounts.auth import Anyone
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.core.clock import iso
from openvps.core.money import major
from openvps.ledger import queries as ledger

router = APIRouter(tags=["account"], route_class=Route)


class AccountInUse(TypedDict):
    """Who pays; `balance` and what of it is `held` for servers, in the installation's currency."""

    email: Annotated[str, Field(description="The account's e-mail address.", examples=["ada@example.com"])]
    first_name: Annotated[str, Field(description="First name.", examples=["Ada"])]
    last_name: Annotated[str, Field(description="Last name.", examples=["Lovelace"])]
    company_name: Annotated[str, Field(description="The company's name; may be empty.", examples=["Example Ltd"])]
    created_at: Annotated[str, Field(description="The day on which the account was made.", examples=["2026-11-23"])]
    balance: Annotated[float, Field(description="Credit, in the installation's currency.", examples=[100.0])]
    held: Annotated[float, Field(description="What of it is held for servers.", examples=[0.36])]


class TokenInUse(TypedDict):
    """The token that the request was made with."""

    name: Annotated[str, Field(description="The token's name.", examples=["laptop"])]
    permissions: Annotated[list[str], Field(description="What it may do.", examples=[["servers:*", "ssh_keys:*"]])]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T14:30:00Z"])]
    last_used_at: Annotated[
        str | None,
        Field(
            description="When it was last used, UTC, to the minute; null: never.", examples=["2026-11-23T14:30:08Z"]
        ),
    ]
    expires_at: Annotated[str | None, Field(description="When it ends, UTC; null: never.", examples=[None])]


class Me(TypedDict):
    """The account and the token in use."""

    account: Annotated[AccountInUse, Field(description="Who pays.")]
    token: Annotated[TokenInUse, Field(description="The token that the request was made with.")]


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
