"""Alembic's migrations, run in the program: `upgrade` is called at every start and does nothing when up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config


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
