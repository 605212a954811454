"""What operators do with accounts, each in the caller's transaction; the API and the commands are thin over it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError

from openvps.accounts.admin import queries
from openvps.accounts.second_factor import queries as second_factors
from openvps.accounts.sign_in.invites import invite
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields, NotFound
from openvps.core.money import MICRO
from openvps.ledger import queries as ledger

Reference = int | UUID | str  # number, UUID, or (for commands) e-mail
TAKEN = {"email": ["There is an account with this e-mail."]}


@dataclass(frozen=True)
class Invite:
    """An invite's text, to be told once, and its end."""

    text: str
    expires_at: datetime


async def find(conn: Connection, reference: Reference, *, lock: bool = False) -> Record:
    """Return an account. Raises NotFound."""
    row = await queries.one(conn, reference, lock=lock)
    if row is None:
        raise NotFound
    return row


async def create(
    conn: Connection, *, email: str, credit: int, password_hash: str | None, **values: Any
) -> tuple[Record, Invite | None]:
    """Make an account; without a password, with an invite to set one. Raises InvalidFields."""
    account_id = await queries.add(conn, email=email.lower(), password_hash=password_hash, **values)
    if account_id is None:
        raise InvalidFields(TAKEN)
    if credit:
        await ledger.append(
            conn, account_id=account_id, amount_micro=credit * MICRO, kind="credit", reference="first credit"
        )
    made = None if password_hash else await invite_again(conn, account_id)
    return await find(conn, account_id), made


async def invite_again(conn: Connection, account_id: int) -> Invite:
    """Make an invite for an account, in place of an older one; its password stays until the invite is used."""
    return Invite(*await invite(conn, account_id))


async def change(conn: Connection, account_id: int, values: dict[str, Any]) -> Record:
    """Write an account's fields. Raises InvalidFields."""
    if email := values.get("email"):
        values = values | {"email": email.lower()}
    if values:
        try:
            async with conn.begin_nested():
                await queries.change(conn, account_id, **values)
        except IntegrityError:  # the e-mail is the one column that is unique
            raise InvalidFields(TAKEN) from None
    return await find(conn, account_id)


async def disable(conn: Connection, account_id: int, reason: str) -> Record:
    """Shut an account: its tokens open nothing and nobody signs in. Its servers stay as they are."""
    await queries.change(conn, account_id, disabled_at=func.now(), disabled_reason=reason)
    return await find(conn, account_id)


async def enable(conn: Connection, account_id: int) -> Record:
    """Open an account again: its tokens work as before."""
    await queries.change(conn, account_id, disabled_at=None, disabled_reason="")
    return await find(conn, account_id)


async def credit(
    conn: Connection, account_id: int, amount: Decimal, *, adjustment: bool, reason: str, reference: str | None
) -> bool:
    """Append a top-up, or an adjustment, which may take away; False: this `reference` is there already.

    Raises InvalidFields.
    """
    wrong: dict[str, list[str]] = {}
    if amount == 0 or (amount < 0 and not adjustment):
        wrong["amount"] = ["More than 0; only an adjustment may be less."]
    if adjustment and not reason:
        wrong["reason"] = ["An adjustment needs a reason."]
    if wrong:
        raise InvalidFields(wrong)
    return await ledger.append(
        conn,
        account_id=account_id,
        amount_micro=int(amount * MICRO),
        kind="adjustment" if adjustment else "credit",
        reference=reference or str(uuid4()),
        reason=reason,
    )


async def suspend(conn: Connection, account_id: int, reason: str) -> Record:
    """Have an account's servers turned off and kept so, whatever its credit. Raises InvalidFields."""
    if not reason:
        raise InvalidFields({"reason": ["A suspension needs a reason: its customer is told."]})
    await queries.change(conn, account_id, suspended_at=func.now(), suspended_reason=reason)
    return await find(conn, account_id)


async def unsuspend(conn: Connection, account_id: int) -> Record:
    """End an operator's suspension; the servers start as before, unless there is no credit."""
    await queries.change(conn, account_id, suspended_at=None, suspended_reason="")
    return await find(conn, account_id)


async def reset_second_factor(conn: Connection, account_id: int) -> Record:
    """Have an account signed in to by its password alone, for who lost the app and the recovery codes."""
    await second_factors.remove(conn, account_id)
    return await find(conn, account_id)


async def remove(conn: Connection, account_id: int) -> None:
    """Delete an account without servers; what the books need stays (decision 16). Raises BadRequest."""
    await find(conn, account_id, lock=True)
    if count := await queries.servers(conn, account_id):
        raise BadRequest(
            f"This account has {count} server{'s' * (count > 1)}. Delete them first, and wait until they are gone."
        )
    await queries.erase(conn, account_id)
