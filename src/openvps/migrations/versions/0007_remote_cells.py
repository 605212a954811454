"""Cells on other machines, and since when one doesn't answer."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

REACHED = "socket IS NOT NULL OR (certificate IS NOT NULL AND members <> '{}')"


def upgrade() -> None:
    op.alter_column("cell", "socket", nullable=True)
    op.add_column("cell", sa.Column("members", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("cell", sa.Column("certificate", sa.Text()))
    op.add_column("cell", sa.Column("away_at", sa.DateTime(timezone=True)))
    op.add_column("cell", sa.Column("away_reason", sa.Text()))
    op.create_check_constraint(op.f("ck_cell_reached"), "cell", REACHED)


def downgrade() -> None:
    op.drop_constraint(op.f("ck_cell_reached"), "cell")
    for name in ("away_reason", "away_at", "certificate", "members"):
        op.drop_column("cell", name)
    op.execute("UPDATE cell SET socket = '' WHERE socket IS NULL")  # a remote cell is out of reach for the old code
    op.alter_column("cell", "socket", nullable=False)
