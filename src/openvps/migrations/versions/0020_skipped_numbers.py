"""Numbers skipped when the database was put back to an older state, which may have made the table itself."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "skipped_numbers",
        sa.Column("of", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("of", "first", name=op.f("pk_skipped_numbers")),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("skipped_numbers")
