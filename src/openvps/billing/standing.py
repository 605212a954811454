"""An account's standing by its credit: told when it is low and when it is gone, suspended after a grace period.

It is a level in the account's row; that servers follow it is compute's. Each step compares and sets, so that a turn
may be late, repeated, or die in between: what an account is told is written with what it is told about.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from openvps.accounts import audit
from openvps.billing import notices, queries
from openvps.core import log
from openvps.core.clock import iso, now
from openvps.core.db import Connection, Database
from openvps.core.settings import Settings

logger = log.get(__name__)


@dataclass(frozen=True)
class Terms:
    """What the installation grants: when credit counts as low, the grace period, the term before deletion or None."""

    low: timedelta
    grace: timedelta
    deletion: timedelta | None

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Return those of the settings."""
        days = settings.delete_after_days
        return cls(
            timedelta(hours=settings.low_credit_hours),
            timedelta(hours=settings.grace_hours),
            timedelta(days=days) if days else None,
        )


async def set_standing(database: Database, settings: Settings, *, at: datetime | None = None) -> None:
    """Set every account's standing as of `at`, by default now."""
    moment, terms = at or now(), Terms.of(settings)
    for step in (_restore, _note_low, _note_empty, _suspend, _announce):
        async with database.begin() as conn:
            await step(conn, terms, moment)


async def _restore(conn: Connection, _terms: Terms, _at: datetime) -> None:
    for row in await queries.restored(conn):
        if row.was_suspended:
            text = "There is credit again: your servers start as they were before."
            await notices.add(conn, row.id, "restored", text)
            await audit.record_billing(conn, row.id, "restore_account", f"account {row.id}")
            logger.info("account_restored", account=row.id)


async def _note_low(conn: Connection, terms: Terms, at: datetime) -> None:
    hours = int(terms.low.total_seconds() // 3600)
    for account_id in await queries.run_low(conn, hours, at):
        text = f"Your credit lasts for less than {hours} hours of your servers. Add credit."
        await notices.add(conn, account_id, "low", text)


async def _note_empty(conn: Connection, terms: Terms, at: datetime) -> None:
    for account_id in await queries.run_empty(conn, at):
        text = f"Your credit is used up. Add credit before {iso(at + terms.grace)}, or your servers are suspended."
        await notices.add(conn, account_id, "empty", text)
        await audit.record_billing(conn, account_id, "credit_empty", f"account {account_id}")


async def _suspend(conn: Connection, terms: Terms, at: datetime) -> None:
    for account_id in await queries.run_out(conn, at - terms.grace, at):
        text = (
            "Your servers are suspended: there was no credit. Nothing is deleted. Add credit, and they start again."
        )
        await notices.add(conn, account_id, "suspended", text)
        await audit.record_billing(conn, account_id, "suspend_account", f"account {account_id}", reason="no credit")
        logger.info("account_suspended", account=account_id)


async def _announce(conn: Connection, terms: Terms, at: datetime) -> None:
    """Set the term before deletion where there is one; it begins with what the customer is told."""
    if terms.deletion is None:
        for account_id in await queries.spare(conn):
            text = "Your suspended servers will not be deleted for lack of credit, unlike announced."
            await notices.add(conn, account_id, "deletion_called_off", text)
        return
    end = at + terms.deletion
    for account_id in await queries.sentence(conn, end):
        text = f"Your suspended servers are deleted with all their data on {iso(end)}. Add credit before."
        await notices.add(conn, account_id, "deletion", text)
        await audit.record_billing(conn, account_id, "announce_deletion", f"account {account_id}", at=iso(end))
