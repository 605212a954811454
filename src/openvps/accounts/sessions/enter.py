"""Signing in to the console and out of it; what is typed is checked by whom the API has check it."""

import hashlib
import secrets
from datetime import timedelta

from fastapi import Request

from openvps.accounts import audit, auth
from openvps.accounts import queries as accounts
from openvps.accounts.second_factor import check
from openvps.accounts.second_factor import queries as second_factors
from openvps.accounts.sessions import queries
from openvps.accounts.sign_in import enter as passwords
from openvps.accounts.tokens import queries as token_rows
from openvps.core.clock import now
from openvps.core.db import Connection, Database, Record
from openvps.core.errors import Unauthenticated

LIVES = timedelta(hours=12)
RANDOM_BYTES = 32
HALF_WAY = timedelta(minutes=10)  # between a password and its code


class HalfWayOver(Unauthenticated):
    """The password was given too long ago, or not at all."""


def digest(cookie: str) -> bytes:
    """Return what is kept of a session's cookie."""
    return hashlib.sha256(cookie.encode()).digest()


async def with_password(request: Request, email: str, password: str, visitor: str) -> str | None:
    """Check a password, as `POST /login/` does, and begin a session; returns its cookie.

    None: a code of the second factor is wanted besides, from the browser with the cookie `visitor`.
    Raises Unauthenticated, TooMany.
    """
    database: Database = request.app.state.database
    account = await passwords.proved(request, email, password)
    async with database.begin() as conn:
        said = await check.verdict(conn, account.id, "")
        if said == "none":
            cookie = await _with_own_token(conn, request, account)
        else:
            cookie, at = None, now()
            await second_factors.begin_step(conn, digest(visitor), account.id, at, at + HALF_WAY)
    passwords.count_back(request, email)
    return cookie


async def with_code(request: Request, code: str, visitor: str) -> str:
    """Check the code of who has given the password, and begin a session; returns its cookie.

    Raises HalfWayOver, Unauthenticated, TooMany.
    """
    database: Database = request.app.state.database
    async with database.begin() as conn:
        account = await second_factors.step(conn, digest(visitor), now())
    if account is None:
        raise HalfWayOver("That took longer than ten minutes. Begin with the password again.")
    cookie = ""
    passwords.count(request, account.email)
    async with database.begin() as conn:
        said = await passwords.second(conn, request, account, code)
        if said in check.LET_IN:
            cookie = await _with_own_token(conn, request, account)
            await second_factors.end_step(conn, digest(visitor))
    passwords.settle(request, account, said)
    return cookie


async def _with_own_token(conn: Connection, request: Request, account: Record) -> str:
    row, _ = await passwords.token_for(conn, request, account)
    return await _begin(conn, row.id, own_token=True)


async def with_token(request: Request, text: str) -> str:
    """Check a token, as every request of the API does, and begin a session; returns its cookie.

    Raises Unauthenticated, TooMany.
    """
    database: Database = request.app.state.database
    async with database.begin() as conn:
        caller = await auth.authenticate_by(request, conn, text)
        await audit.record(conn, caller, "sign_in", f"account {caller.account_id}")
        return await _begin(conn, caller.token_id, own_token=False)


async def find(request: Request, cookie: str) -> accounts.LiveToken:
    """Return the token that a session acts with. Raises Unauthenticated."""
    database: Database = request.app.state.database
    async with database.read() as conn:
        found = await accounts.live_session(conn, digest(cookie), now())
    if found is None:
        raise Unauthenticated("You are signed out. Sign in again.")
    return found


async def leave(request: Request, cookie: str) -> None:
    """End a session, and the token that was made for it."""
    database: Database = request.app.state.database
    async with database.begin() as conn:
        found = await accounts.live_session(conn, digest(cookie), now())
        ended = await queries.remove(conn, digest(cookie))
        if found is None or ended is None:
            return
        if ended.own_token:
            await token_rows.revoke(conn, found.account_id, found.id)
        await audit.record_visit(conn, request, "sign_out", account_id=found.account_id)


async def _begin(conn: Connection, token_id: int, *, own_token: bool) -> str:
    cookie = secrets.token_urlsafe(RANDOM_BYTES)
    await queries.forget(conn, now())
    await queries.add(conn, token_id=token_id, digest=digest(cookie), own_token=own_token, expires_at=now() + LIVES)
    return cookie
