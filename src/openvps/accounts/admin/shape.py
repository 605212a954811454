"""Accounts as operators see them."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts.admin.fields import CompanyName, CreatesAnHour, Email, FirstName, LastName, MaxServers, MaxVcpus
from openvps.accounts.admin.manage import Invite
from openvps.core.clock import iso
from openvps.core.db import Record
from openvps.core.money import major
from openvps.ledger.queries import Balance

Moment = Annotated[str | None, Field(examples=["2026-11-23T22:00:00Z"])]


class Account(TypedDict):
    """An account, as an operator sees it."""

    id: Annotated[int, Field(description="The account's number.", examples=[3])]
    uuid: Annotated[str, Field(description="The account's UUID.", examples=["0d2c7a8e-52a1-4a7e-9b55-0f4a5d7f3b10"])]
    email: Email
    first_name: FirstName
    last_name: LastName
    company_name: CompanyName
    is_operator: Annotated[
        bool, Field(description="Whether it may administer all accounts; set on the host only.", examples=[False])
    ]
    max_servers: MaxServers
    max_vcpus: MaxVcpus
    creates_an_hour: CreatesAnHour
    has_password: Annotated[bool, Field(description="Whether somebody can sign in.", examples=[True])]
    second_factor: Annotated[
        bool, Field(description="Whether signing in asks for a code besides the password.", examples=[False])
    ]
    invite_expires_at: Annotated[Moment, Field(description="When the unused invite ends, UTC; null: there is none.")]
    disabled_at: Annotated[Moment, Field(description="When it was disabled, UTC; null: it isn't.")]
    disabled_reason: Annotated[str, Field(description="Why it was disabled.", examples=["unpaid since May"])]
    empty_at: Annotated[Moment, Field(description="Since when it has no credit, UTC; null: it has.")]
    unpaid_at: Annotated[
        Moment, Field(description="Since when its servers are suspended for lack of credit, UTC; null: they aren't.")
    ]
    servers_end_at: Annotated[
        Moment, Field(description="When its servers are deleted for lack of credit, UTC; null: they aren't.")
    ]
    suspended_at: Annotated[
        Moment, Field(description="Since when an operator has its servers suspended, UTC; null: none has.")
    ]
    suspended_reason: Annotated[str, Field(description="Why; its customer is told.", examples=["abuse report 17"])]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T22:00:00Z"])]


class AccountDetail(Account):
    """An account with what it has."""

    servers: Annotated[int, Field(description="How many servers it has.", examples=[2])]
    balance: Annotated[float, Field(description="Its balance, in the installation's currency.", examples=[25.0])]
    held: Annotated[float, Field(description="What of it is held for servers.", examples=[1.2])]


class InvitedAccount(Account):
    """An account, and an invite where it needs one: shown in this answer only."""

    invite: Annotated[
        str | None,
        Field(
            description="Hand it on: it sets the password once, within 7 days. Null: the account has a password.",
            examples=["invite_<43 characters>"],
        ),
    ]


def shown(row: Record) -> Account:
    """Return an account as operators see it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "email": row.email,
        "first_name": row.first_name,
        "last_name": row.last_name,
        "company_name": row.company_name,
        "is_operator": row.is_operator,
        "max_servers": row.max_servers,
        "max_vcpus": row.max_vcpus,
        "creates_an_hour": row.creates_an_hour,
        "has_password": row.has_password,
        "second_factor": row.second_factor,
        "invite_expires_at": iso(row.invite_expires_at) if row.invite_expires_at else None,
        "disabled_at": iso(row.disabled_at) if row.disabled_at else None,
        "disabled_reason": row.disabled_reason,
        "empty_at": iso(row.empty_at) if row.empty_at else None,
        "unpaid_at": iso(row.unpaid_at) if row.unpaid_at else None,
        "servers_end_at": iso(row.servers_end_at) if row.servers_end_at else None,
        "suspended_at": iso(row.suspended_at) if row.suspended_at else None,
        "suspended_reason": row.suspended_reason,
        "created_at": iso(row.created_at),
    }


def detail(row: Record, balance: Balance, servers: int) -> AccountDetail:
    """Return an account with what it has."""
    return {
        **shown(row),
        "servers": servers,
        "balance": major(balance.total_micro),
        "held": major(balance.held_micro),
    }


def invited(row: Record, invite: Invite | None) -> InvitedAccount:
    """Return an account with its invite."""
    return {**shown(row), "invite": invite.text if invite else None}
