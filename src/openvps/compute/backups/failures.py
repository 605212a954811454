"""What went wrong with a backup is told here, once: to its customer, and to who runs the place."""

from openvps.compute.backups import queries
from openvps.core import log
from openvps.core.db import Connection

logger = log.get(__name__)

FAILED = "backup_failed"
UNPROVED = "backup_unverified"


async def tell(conn: Connection, row: queries.Row, kind: str, reason: str) -> None:
    """Tell the account that a backup FAILED or is UNPROVED, and why; every failure passes here."""
    what = {FAILED: "failed", UNPROVED: "could not be verified"}[kind]
    day = f"{row.created_at:%Y-%m-%d}"
    text = f"Backup {row.id} of {row.server_name}, begun on {day}, {what}: {reason}"
    await queries.tell(conn, row.account_id, kind, text)
    logger.error(kind, backup=row.id, server=row.server_id, reason=reason)
