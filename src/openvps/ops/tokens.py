"""`openvps token`: make, list and revoke the tokens of any account, by root on the host."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from openvps.accounts import audit
from openvps.accounts.permissions import OPERATORS_EVERYTHING, everything
from openvps.accounts.tokens import api as shape
from openvps.accounts.tokens import queries
from openvps.accounts.tokens.issue import LONGEST, issue, problems
from openvps.core.clock import iso, now
from openvps.core.db import Connection
from openvps.core.errors import InvalidFields, NotFound
from openvps.ops.accounts import ALL, Output, found, run, say


def create(account: str, *, name: str, permissions: Sequence[str], days: int | None, output: Output) -> int:
    """Make a token and print it, once; without permissions named, one for all that the account may."""

    async def work(conn: Connection) -> int:
        owner = await found(conn, account)
        wanted = list(permissions) or everything(operator=owner.is_operator)
        # root may everything: what is wrong here is only what isn't a permission of this account's
        if wrong := problems(wanted, OPERATORS_EVERYTHING, operator=owner.is_operator):
            raise InvalidFields({"permission": wrong})
        if days is not None and not 0 < days <= LONGEST.days:
            raise InvalidFields({"days": [f"1 to {LONGEST.days}."]})
        row, text = await issue(
            conn,
            account_id=owner.id,
            name=name,
            permissions=wanted,
            expires_at=None if days is None else now() + timedelta(days=days),
        )
        await audit.record_host(conn, "create_token", f"token {row.id}", permissions=" ".join(row.permissions))
        return say(output, {**shape.shown(row), "token": text}, [text])

    return run(work)


def list_(account: str, output: Output) -> int:
    """Print an account's tokens, newest first, without their texts."""

    async def work(conn: Connection) -> int:
        owner = await found(conn, account)
        _, rows = await queries.tokens(conn, owner.id, offset=0, limit=ALL)
        if output == "json":
            return say(output, [shape.shown(row) for row in rows], [])
        table = Table("ID", "NAME", "PERMISSIONS", "LAST USED", "STATE", box=None)
        for row in rows:
            over = row.expires_at is not None and row.expires_at <= now()
            state = "revoked" if row.revoked_at else "expired" if over else ""
            used = iso(row.last_used_at) if row.last_used_at else "never"
            table.add_row(str(row.id), row.name, " ".join(row.permissions), used, state)
        Console(highlight=False, markup=False).print(table)
        return 0

    return run(work)


def revoke(number: int, account: str) -> int:
    """Revoke a token of an account; revoking twice is as good as once."""

    async def work(conn: Connection) -> int:
        owner = (await found(conn, account)).id
        if await queries.owner(conn, number) != owner:
            raise NotFound(f"There is no token {number} of {account}.")
        await queries.revoke(conn, owner, number)
        await audit.record_host(conn, "revoke_token", f"token {number}")
        return 0

    return run(work)
