"""What servers were charged of a month, without reading all of its hours again."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

# Only the present month is ever asked for. What is charged of an older one later moves the sum on to a new month.
SUMS = """
UPDATE meter SET month_at = told.month_at, month_micro = told.amount FROM (
    SELECT server_id, date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS month_at,
        -sum(amount_micro)::bigint AS amount
    FROM ledger_entry
    WHERE server_id IS NOT NULL AND at >= date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
    GROUP BY server_id
) AS told WHERE meter.server_id = told.server_id
"""


def upgrade() -> None:
    op.add_column("meter", sa.Column("month_at", sa.DateTime(timezone=True)))
    op.add_column("meter", sa.Column("month_micro", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute(SUMS)
    op.create_index(op.f("ix_meter_account_id_server_id"), "meter", ["account_id", "server_id"])
    op.drop_index(op.f("ix_meter_account_id"), table_name="meter")


def downgrade() -> None:
    op.create_index(op.f("ix_meter_account_id"), "meter", ["account_id"])
    op.drop_index(op.f("ix_meter_account_id_server_id"), table_name="meter")
    op.drop_column("meter", "month_micro")
    op.drop_column("meter", "month_at")
