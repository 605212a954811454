"""Making a token: its text leaves once, its digest stays."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from openvps.accounts import queries as accounts
from openvps.accounts import tokens
from openvps.accounts.permissions import allows, known
from openvps.accounts.tokens import queries
from openvps.core.db import Connection, Record

LONGEST = timedelta(days=36525)


async def issue(
    conn: Connection, *, account_id: int, name: str, permissions: Sequence[str], expires_at: datetime | None = None
) -> tuple[Record, str]:
    """Make a token; returns its row and its text."""
    text = tokens.make()
    number = await accounts.add_token(
        conn,
        account_id=account_id,
        name=name,
        digest=tokens.digest(text),
        permissions=list(dict.fromkeys(permissions)),
        expires_at=expires_at,
    )
    row = await queries.one(conn, account_id, number)
    if row is None:
        raise LookupError(f"token {number} vanished in its own transaction")
    return row, text


def wrong_end(expires_at: datetime, at: datetime) -> str | None:
    """Return what is wrong with a token's end."""
    if expires_at <= at:
        return "This moment has passed."
    if expires_at > at + LONGEST:
        return "This is over 100 years ahead; null means that it never ends."
    return None


def problems(wanted: Sequence[str], granted: Sequence[str], *, operator: bool) -> list[str]:
    """Return what is wrong with the permissions that somebody who has `granted` wants for a token."""
    names = known(operator=operator)
    unknown = [one for one in wanted if one not in names]
    if unknown:
        quoted = ", ".join(repr(one[:60]) for one in unknown[:5])
        return [f"Unknown: {quoted}. Known are {', '.join(names)}."]
    beyond = [one for one in wanted if not allows(granted, one)]
    if beyond:
        return [
            f"The token of this request lacks {', '.join(beyond)}; no token makes one that may do more than itself."
        ]
    return []
