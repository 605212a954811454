"""`openvps account`: administration on the host, by root, without a token.

The same functions as the API's `/admin/accounts/`, on the database of the running installation. What a command did
is in the audit log as root's. An account is named by number, UUID or e-mail.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from openvps.accounts import audit
from openvps.accounts.admin import fields, manage, queries, shape
from openvps.core import settings
from openvps.core.db import Connection, Database, Record
from openvps.core.errors import Error, InvalidFields, NotFound
from openvps.ledger import queries as ledger

Output = Literal["text", "json"]
ALL = 1 << 31
GENERAL = -1  # on the command line: the installation's setting
INVITE = "invite, shown once, for POST /api/v1/account/accept-invite/ within 7 days"


@dataclass(frozen=True)
class Quotas:
    """Quotas as a command names them; None: not named."""

    max_servers: int | None = None
    max_vcpus: int | None = None
    creates_an_hour: int | None = None

    def own(self) -> dict[str, int | None]:
        """Return the named ones as columns' values."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        return {name: None if value == GENERAL else value for name, value in named.items()}


def run(work: Callable[[Connection], Awaitable[int]]) -> int:
    """Do `work` in one transaction; returns its exit code, 1 with a line for what was refused."""

    async def inside() -> int:
        database = Database(settings.load().conninfo("owner"))
        try:
            async with database.begin() as conn:
                return await work(conn)
        finally:
            await database.close()

    try:
        return asyncio.run(inside())
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ConnectionError(f"the database doesn't answer; is `openvps up` running? ({reason})") from None
    except InvalidFields as error:
        talk(f"openvps: {error}")
        return 2
    except Error as error:
        talk(f"openvps: {error}")
        return 1


def _account(text: str) -> manage.Reference:
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        return UUID(text)
    except ValueError:
        return text


async def found(conn: Connection, text: str) -> Record:
    """Return the account that `text` names. Raises NotFound."""
    try:
        return await manage.find(conn, _account(text))
    except NotFound:
        raise NotFound(f"There is no account {text!r}.") from None


def talk(line: str) -> None:
    """Say something that is no result."""
    print(line, file=sys.stderr)  # noqa: T201 -- a command talks


def say(output: Output, value: object, lines: list[str]) -> int:
    """Print the result: as JSON for programs, else the lines."""
    print(json.dumps(value, indent=2) if output == "json" else "\n".join(lines))  # noqa: T201 -- a command's result
    return 0


def create(
    email: str,
    *,
    first_name: str,
    last_name: str,
    company_name: str,
    credit: int,
    quotas: Quotas,
    operator: bool,
    output: Output,
) -> int:
    """Make an account and print its invite; one that is there already is left as it is."""

    async def work(conn: Connection) -> int:
        there = await queries.one(conn, email)
        if there is not None:
            talk(f"account {there.id} has this e-mail already; nothing was changed")
            return say(output, shape.invited(there, None), [f"account {there.id}: {there.email}"])
        values = checked(
            fields.NewAccount,
            email=email,
            first_name=first_name,
            last_name=last_name,
            company_name=company_name,
            credit=credit,
            **quotas.own(),
        )
        del values["password"]
        row, invite = await manage.create(conn, password_hash=None, is_operator=operator, **values)
        await audit.record_host(conn, "create_account", f"account {row.id}")
        lines = [f"account {row.id}: {row.email}", *([f"{INVITE}: {invite.text}"] if invite else [])]
        return say(output, shape.invited(row, invite), lines)

    return run(work)


def checked(model: type[BaseModel], **values: Any) -> dict[str, Any]:
    """Return the fields of `model`. Raises InvalidFields."""
    try:
        return model.model_validate(values).model_dump()
    except ValidationError as error:
        wrong: dict[str, list[str]] = {}
        for one in error.errors():
            wrong.setdefault(str(one["loc"][0]), []).append(one["msg"])
        raise InvalidFields(wrong) from None


def list_(output: Output) -> int:
    """Print every account."""

    async def work(conn: Connection) -> int:
        _, rows = await queries.accounts(conn, email=None, offset=0, limit=ALL)
        if output == "json":
            return say(output, [shape.shown(row) for row in rows], [])
        table = Table("ID", "E-MAIL", "NAME", "STATE", box=None)
        for row in rows:
            name = " ".join(one for one in (row.first_name, row.last_name, row.company_name) if one)
            state = "disabled" if row.disabled_at else "operator" if row.is_operator else ""
            table.add_row(str(row.id), row.email, name, state)
        Console(highlight=False, markup=False).print(table)
        return 0

    return run(work)


def show(account: str, output: Output) -> int:
    """Print one account with its balance and quotas."""

    async def work(conn: Connection) -> int:
        row = await found(conn, account)
        all_ = shape.detail(row, await ledger.balance(conn, row.id), await queries.servers(conn, row.id))
        return say(output, all_, [f"{name}: {'' if value is None else value}" for name, value in all_.items()])

    return run(work)


def set_quota(account: str, quotas: Quotas, output: Output) -> int:
    """Write an account's quotas: those given; the others stay."""

    async def change(conn: Connection, account_id: int) -> Record:
        checked(fields.AccountChange, **quotas.own())
        return await manage.change(conn, account_id, quotas.own())

    return _change(account, "set_quota", change, output)


def disable(account: str, reason: str, output: Output) -> int:
    """Shut an account."""
    return _change(
        account, "disable_account", lambda conn, number: manage.disable(conn, number, reason), output, reason=reason
    )


def enable(account: str, output: Output) -> int:
    """Open an account again."""
    return _change(account, "enable_account", manage.enable, output)


def suspend(account: str, reason: str, output: Output) -> int:
    """Have an account's servers turned off."""
    return _change(
        account, "suspend_account", lambda conn, number: manage.suspend(conn, number, reason), output, reason=reason
    )


def unsuspend(account: str, output: Output) -> int:
    """End an operator's suspension."""
    return _change(account, "unsuspend_account", manage.unsuspend, output)


def reset_second_factor(account: str, output: Output) -> int:
    """Have an account's password be enough again."""
    return _change(account, "reset_second_factor", manage.reset_second_factor, output)


def credit(account: str, amount: str, *, adjustment: bool, reason: str, reference: str | None, output: Output) -> int:
    """Add a payment or an adjustment, and print the balance; a reference that is there already changes nothing."""

    async def work(conn: Connection) -> int:
        values = checked(fields.NewCredit, amount=amount, adjustment=adjustment, reason=reason, reference=reference)
        row = await manage.find(conn, (await found(conn, account)).id, lock=True)
        if await manage.credit(conn, row.id, **values):
            await audit.record_host(conn, "credit_account", f"account {row.id}", amount=amount, reason=reason)
        else:
            talk(f"account {row.id} has this reference already; nothing was changed")
        all_ = shape.detail(row, await ledger.balance(conn, row.id), await queries.servers(conn, row.id))
        return say(output, all_, [f"account {row.id}: {row.email}: balance {all_['balance']:.2f}"])

    return run(work)


def _change(
    account: str,
    operation: str,
    change: Callable[[Connection, int], Awaitable[Any]],
    output: Output,
    **details: str,
) -> int:
    async def work(conn: Connection) -> int:
        row = await change(conn, (await found(conn, account)).id)
        await audit.record_host(conn, operation, f"account {row.id}", **details)
        return say(output, shape.shown(row), [f"account {row.id}: {row.email}: {operation.replace('_', ' ')}: done"])

    return run(work)


def invite(account: str, output: Output) -> int:
    """Make and print a new invite."""

    async def work(conn: Connection) -> int:
        before = await found(conn, account)
        made = await manage.invite_again(conn, before.id)
        await audit.record_host(conn, "invite_account", f"account {before.id}")
        row = await manage.find(conn, before.id)
        return say(output, shape.invited(row, made), [f"{INVITE}: {made.text}"])

    return run(work)


def delete(account: str) -> int:
    """Delete an account without servers; one that is gone already is as good."""

    async def work(conn: Connection) -> int:
        row = await queries.one(conn, _account(account))
        if row is None:
            talk(f"there is no account {account!r} (any more)")
            return 0
        await manage.remove(conn, row.id)
        await audit.record_host(conn, "delete_account", f"account {row.id}")
        return 0

    return run(work)
