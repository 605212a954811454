"""The tables as this version needs them: dumped before they change, and changed in one transaction or not at all."""

from pathlib import Path

import psycopg
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from openvps import migrations
from openvps.core.settings import Settings
from openvps.ops import dump
from openvps.ops.machine import NotReady


def migrate(config: Settings) -> Path | None:
    """Bring the tables to this version; returns the dump that was made before, None where none was needed.

    Raises NotReady: then the tables are as they were, and the version that made them runs on them as before.
    """
    conninfo = config.conninfo("owner")
    try:
        revision = migrations.current(conninfo)
    except psycopg.OperationalError as error:
        raise NotReady(f"the database doesn't answer: {str(error).strip()}") from error
    if revision is not None and not migrations.knows(revision):
        raise NotReady(
            f"the database is of a newer version (its tables are at {revision}, this version knows them up to "
            f"{migrations.head()}): run that version again, or put the database back to a dump in "
            f"{dump.folder(config)} with openvps database restore"
        )
    file = dump.before_migrating(config)
    try:
        migrations.upgrade(conninfo)
    except (SQLAlchemyError, CommandError) as error:
        reason = str(error.orig).strip() if isinstance(error, DBAPIError) else str(error)
        raise NotReady(
            f"the tables couldn't be changed for this version ({reason}); all of them are as they were, and servers "
            "run on: run the version before this one again"
            + (f". A dump of the database is in {file}" if file else "")
        ) from error
    return file
