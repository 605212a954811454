"""Alembic's migrations, run in the program: `upgrade` is called at every start and does nothing when up to date."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def config(conninfo: str) -> Config:
    """Return Alembic's configuration for one database."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["conninfo"] = conninfo
    return made


def upgrade(conninfo: str, revision: str = "head") -> None:
    """Bring the database to `revision`."""
    command.upgrade(config(conninfo), revision)


def downgrade(conninfo: str, revision: str) -> None:
    """Take the database back to `revision`."""
    command.downgrade(config(conninfo), revision)


def current(conninfo: str) -> str | None:
    """Return the revision that the database stands at, None for one that is empty."""
    with psycopg.connect(conninfo) as conn:
        if conn.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


def knows(revision: str) -> bool:
    """Whether a revision is one of ours."""
    return revision in {one.revision for one in ScriptDirectory.from_config(config("")).walk_revisions()}


def head() -> str | None:
    """Return the newest revision."""
    return ScriptDirectory.from_config(config("")).get_current_head()
