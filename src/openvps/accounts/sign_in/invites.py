"""Invites: a random text that sets an account's password, once, within seven days; kept as a digest."""

import hashlib
import secrets
from datetime import datetime, timedelta

from openvps.accounts.sign_in import queries
from openvps.core.clock import now
from openvps.core.db import Connection

LIVES = timedelta(days=7)
PREFIX = "invite_"
RANDOM_BYTES = 32


def digest(text: str) -> bytes:
    """Return what is kept of an invite."""
    return hashlib.sha256(text.encode()).digest()


async def invite(conn: Connection, account_id: int) -> tuple[str, datetime]:
    """Make an invite for an account, in place of an older one; returns its text and its end."""
    text, end = PREFIX + secrets.token_urlsafe(RANDOM_BYTES), now() + LIVES
    await queries.set_invite(conn, account_id, digest(text), end)
    return text, end
