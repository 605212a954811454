"""Who signs in: the one function that a password is checked by.

The slow check runs between two transactions and holds no connection. A wrong password, an unknown e-mail, a disabled
account and one without a password are one refusal, after the same work.
"""

from datetime import timedelta

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from openvps.accounts import audit, idempotency, passwords
from openvps.accounts.auth import client_address
from openvps.accounts.permissions import everything
from openvps.accounts.second_factor import check
from openvps.accounts.second_factor import queries as second_factors
from openvps.accounts.second_factor.check import Verdict
from openvps.accounts.sign_in import invites, queries
from openvps.accounts.throttle import Guesses, client_key
from openvps.accounts.tokens import queries as tokens
from openvps.accounts.tokens.api import shown
from openvps.accounts.tokens.issue import issue
from openvps.core.clock import now
from openvps.core.db import Connection, Database, Record
from openvps.core.errors import InvalidFields, Unauthenticated

LIVES = timedelta(hours=12)
LISTED = timedelta(days=30)  # how long tokens of old sign-ins are shown; the audit log keeps them for good
TOKEN_NAME = "sign-in"  # noqa: S105 -- a name, no secret


async def proved(request: Request, email: str, password: str) -> Record:
    """Check a password; returns its account, of which a second factor is still to be asked for.

    Counted as a guess until `count_back`. Raises Unauthenticated, TooMany.
    """
    database: Database = request.app.state.database
    count(request, email)
    async with database.begin() as conn:
        account = await queries.by_email(conn, _key(email))
    live = account is not None and account.disabled_at is None
    right = await passwords.verify(account.password_hash if account and live else None, password)
    if account is None or not right:
        async with database.begin() as conn:
            await audit.record_visit(conn, request, "sign_in_failed", account_id=account.id if account else None)
        raise Unauthenticated("The e-mail or the password is wrong.")
    return account


def _key(email: str) -> str:
    return email.strip().lower()


def count(request: Request, email: str) -> None:
    """Count a guess at an account's password or code. Raises TooMany."""
    guesses: Guesses = request.app.state.guesses
    guesses.by_client.count(client_key(client_address(request)))
    guesses.by_email.count(_key(email))


def count_back(request: Request, email: str) -> None:
    """Take back a counted guess: it was none."""
    guesses: Guesses = request.app.state.guesses
    guesses.by_client.forgive(client_key(client_address(request)))
    guesses.by_email.forgive(_key(email))


async def second(conn: Connection, request: Request, account: Record, code: str) -> Verdict:
    """Check the second factor of who has given the password; what is wrong stands in the audit log."""
    said = await check.verdict(conn, account.id, code)
    if said in {"wrong", "later"}:
        await audit.record_visit(conn, request, "sign_in_failed", account_id=account.id, by="second factor")
    return said


def settle(request: Request, account: Record, said: Verdict) -> None:
    """Take the counted guess back unless it was a wrong code. Raises what a verdict refuses with."""
    if said != "wrong":
        count_back(request, account.email)
    if (refused := check.refusal(said)) is not None:
        raise refused


async def token_for(conn: Connection, request: Request, account: Record) -> tuple[Record, str]:
    """Make a token of 12 hours for all that an account may; returns its row and its text."""
    await tokens.forget(conn, account.id, TOKEN_NAME, now() - LISTED)
    made = await issue(
        conn,
        account_id=account.id,
        name=TOKEN_NAME,
        permissions=everything(operator=account.is_operator),
        expires_at=now() + LIVES,
    )
    await audit.record_visit(conn, request, "sign_in", account_id=account.id)
    return made


async def sign_in(request: Request, email: str, password: str, code: str = "") -> Response:
    """Check a password, and a second factor; answers with a token of 12 hours for all that the account may.

    Raises Unauthenticated, TooMany, Conflict.
    """
    database: Database = request.app.state.database
    account = await proved(request, email, password)
    said: Verdict = "none"
    async with database.begin() as conn:
        if (answer := await idempotency.repeated(conn, request, account.id)) is None:
            said = await second(conn, request, account, code)
            if said in check.LET_IN:
                row, text = await token_for(conn, request, account)
                answer = JSONResponse({**shown(row), "token": text}, 201)
                await idempotency.keep(conn, request, account.id, answer)
    settle(request, account, said)
    if answer is None:
        raise LookupError("a verdict that neither lets in nor refuses")
    return answer


async def accept_invite(request: Request, invite: str, password: str) -> Response:
    """Set the password that an invite is for; answers with the account's e-mail.

    Who lost a password is invited anew: so earlier sign-ins end. Raises InvalidFields, TooMany, Conflict.
    """
    guesses: Guesses = request.app.state.guesses
    database: Database = request.app.state.database
    client, known = client_key(client_address(request)), invites.digest(invite.strip())
    guesses.by_client.count(client)
    async with database.begin() as conn:
        good = await queries.is_invited(conn, known, now())
    if good:
        kept = await passwords.hashed(password)
        async with database.begin() as conn:
            account = await queries.use_invite(conn, known, now(), kept)
            if account is not None:
                await tokens.revoke_named(conn, account.id, TOKEN_NAME)
                await second_factors.forgive(conn, account.id)
                await audit.record_visit(conn, request, "accept_invite", account_id=account.id)
                guesses.by_client.forgive(client)
                answer = JSONResponse({"email": account.email})
                await idempotency.keep(conn, request, account.id, answer)
                return answer
    async with database.begin() as conn:
        if (before := await _accepted_before(conn, request, known)) is not None:
            guesses.by_client.forgive(client)
            return before
    raise InvalidFields({"invite": ["This invite is unknown, used or over: ask your provider for a new one."]})


async def _accepted_before(conn: Connection, request: Request, known: bytes) -> Response | None:
    """Return the first answer to a request with this key, invite and password."""
    account_id = await queries.used_invite(conn, known)
    return None if account_id is None else await idempotency.repeated(conn, request, account_id)
