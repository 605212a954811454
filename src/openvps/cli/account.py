"""`openvps account` and `token`, as a customer calls them: over the API, for the account of the token in use.

`openvps.ops.commands` offers them beside what an operator does on the host.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from openvps.cli.arguments import Columns, Output
from openvps.cli.exits import REFUSED, Stop
from openvps.cli.output import Form, Table

Month = Annotated[str | None, Parameter(help="only this month, like 2026-11")]
Invoice = Annotated[str | None, Parameter(help="one of them, with its lines: its id, like 2026-11")]

ME = Table(
    {
        "email": lambda one: one.account.email,
        "name": lambda one: f"{one.account.first_name} {one.account.last_name}".strip(),
        "company": lambda one: one.account.company_name,
        "balance": lambda one: one.account.balance,
        "held": lambda one: one.account.held,
        "since": lambda one: one.account.created_at,
        "token": lambda one: one.token.name,
        "permissions": lambda one: one.token.permissions,
    },
    (),
    lambda one: one.account.email,
)
COST = Table(
    {
        "server": lambda one: one.server_name,
        "id": lambda one: one.server_id,
        "hours": lambda one: one.hours,
        "cost": lambda one: one.cost,
        "forecast": lambda one: one.forecast,
        "deleted": lambda one: one.deleted,
    },
    ("server", "id", "hours", "cost", "forecast", "deleted"),
    lambda one: one.server_name,
)
USAGE = Table(
    {
        "month": lambda one: one.month,
        "currency": lambda one: one.currency,
        "cost": lambda one: one.cost,
        "forecast": lambda one: one.forecast,
    },
    (),
    lambda one: one.month,
)
ENTRY = Table(
    {
        "id": lambda one: one.id,
        "at": lambda one: one.at,
        "kind": lambda one: one.kind,
        "amount": lambda one: one.amount,
        "server": lambda one: one.server_name,
        "reason": lambda one: one.reason,
    },
    ("id", "at", "kind", "amount", "server", "reason"),
    lambda one: one.id,
)
INVOICE = Table(
    {"id": lambda one: one.id, "currency": lambda one: one.currency, "total": lambda one: one.total},
    ("id", "currency", "total"),
    lambda one: one.id,
)
LINE = Table(
    {
        "description": lambda one: one.description,
        "server": lambda one: one.server_id,
        "hours": lambda one: one.hours,
        "amount": lambda one: one.amount,
    },
    ("description", "server", "hours", "amount"),
    lambda one: one.description,
)
NOTICE = Table(
    {"at": lambda one: one.created_at, "kind": lambda one: one.kind, "text": lambda one: one.text},
    ("at", "kind", "text"),
    lambda one: one.id,
)
AUDIT = Table(
    {
        "at": lambda one: one.created_at,
        "operation": lambda one: one.operation,
        "subject": lambda one: one.subject,
        "token": lambda one: one.token_name,
        "from": lambda one: one.client_address,
        "request": lambda one: one.request_id,
    },
    ("at", "operation", "subject", "token", "from"),
    lambda one: one.id,
)
TOKEN = Table(
    {
        "id": lambda one: one.id,
        "name": lambda one: one.name,
        "permissions": lambda one: " ".join(one.permissions),
        "used": lambda one: one.last_used_at or "never",
        "expires": lambda one: one.expires_at,
        "state": lambda one: "revoked" if one.revoked else "",
    },
    ("id", "name", "permissions", "used", "expires", "state"),
    lambda one: one.id,
)


def show(output: Form = "table") -> None:
    """Show the account and the token in use."""
    from openvps.cli.calling import calling
    from openvps.cli.output import shown

    with calling() as client:
        print(shown(ME, client.account.get(), output), end="")


def usage(*, columns: Columns = "", output: Output = "table") -> None:
    """Show what this month costs so far, and will, server by server."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed, shown

    with calling() as client:
        month = client.billing.usage()
    if output == "table":
        print(shown(USAGE, month, output), end="\n")
        print(listed(COST, month.servers, output, columns), end="")
    else:
        print(shown(USAGE, month, output), end="")


def ledger(*, month: Month = None, columns: Columns = "", output: Output = "table") -> None:
    """List what was charged and paid, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(ENTRY, list(client.billing.ledger(month=month)), output, columns), end="")


def invoices(invoice: Invoice = None, *, columns: Columns = "", output: Output = "table") -> None:
    """List invoices, newest first, or show one."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed, shown

    with calling() as client:
        if invoice is None:
            print(listed(INVOICE, list(client.billing.invoices()), output, columns), end="")
            return
        found = client.billing.invoice(invoice)
    if output == "table":
        print(listed(LINE, found.lines, output, columns), end="")
        print(f"{found.total} {found.currency}{'' if found.final else ', so far'}")
    else:
        print(shown(INVOICE, found, output), end="")


def notices(*, columns: Columns = "", output: Output = "table") -> None:
    """List what the account was told, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(NOTICE, list(client.account.notices()), output, columns), end="")


def audit(*, columns: Columns = "", output: Output = "table") -> None:
    """List who did what to what in the account, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(AUDIT, list(client.account.audit()), output, columns), end="")


def list_tokens(columns: str, output: Form) -> None:
    """List the account's tokens, without their texts."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(TOKEN, list(client.tokens.list()), output, columns), end="")


def create_token(name: str, permissions: tuple[str, ...], days: int | None, output: Form) -> None:
    """Make a token and print it, this once; without permissions named, it has those of the token in use."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row

    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with calling() as client:
        wanted = list(permissions) or client.account.get().token.permissions
        made = client.tokens.create(name, wanted, expires_at=expires)
    if made.token is None:  # a repetition: the first answer, which had it, was lost
        raise Stop(f"token {made.id} is made, but its text was lost on the way: revoke it and make another", REFUSED)
    print(f"{made.token}\n" if output in {"table", "name"} else row(TOKEN, made, output), end="")


def revoke_token(token: int) -> None:
    """Revoke a token of the account; it opens nothing any more."""
    from openvps.cli.calling import calling

    with calling() as client:
        client.tokens.revoke(token)
