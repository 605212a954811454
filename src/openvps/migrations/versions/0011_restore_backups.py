"""Why a restore can't be done."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("server", sa.Column("restore_failure", sa.Text()))


def downgrade() -> None:
    op.drop_column("server", "restore_failure")
