"""What servers' traffic costs beyond what is included, and the months' sums without reading every hour again."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

# As in 0008, and by months.
SUMS = """
CREATE OR REPLACE FUNCTION openvps_add_to_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_total AS known (account_id, amount_micro)
    SELECT account_id, sum(amount_micro)::bigint FROM added GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET amount_micro = known.amount_micro + excluded.amount_micro;
    INSERT INTO ledger_month AS known (account_id, month, amount_micro)
    SELECT account_id, to_char(begins, 'YYYY-MM'), amount FROM (
        SELECT account_id, date_trunc('month', at AT TIME ZONE 'UTC') AS begins, sum(amount_micro)::bigint AS amount
        FROM added WHERE kind <> 'credit' GROUP BY 1, 2
    ) AS months ORDER BY 1, 2
    ON CONFLICT (account_id, month) DO UPDATE SET amount_micro = known.amount_micro + excluded.amount_micro;
    RETURN NULL;
END
$$;
INSERT INTO ledger_month (account_id, month, amount_micro)
    SELECT account_id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM'), sum(amount_micro)::bigint
    FROM ledger_entry WHERE kind <> 'credit' GROUP BY 1, 2;
"""
WITHOUT_MONTHS = """
CREATE OR REPLACE FUNCTION openvps_add_to_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_total AS known (account_id, amount_micro)
    SELECT account_id, sum(amount_micro)::bigint FROM added GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET amount_micro = known.amount_micro + excluded.amount_micro;
    RETURN NULL;
END
$$;
"""

# Traffic is charged from the upgrade on: nobody pays for what wasn't counted. A server that is gone has none left.
TRAFFIC = """
UPDATE rate_period SET bandwidth_gb = plan.bandwidth_gb FROM server JOIN plan ON plan.id = plan_id
    WHERE server.id = server_id;
UPDATE meter SET traffic_at = date_trunc('hour', now()) WHERE ended_at IS NULL;
"""
SUMMED = ("received_bytes", "sent_bytes", "over_bytes", "over_micro")


def upgrade() -> None:
    op.add_column("rate_period", sa.Column("bandwidth_gb", sa.Integer(), server_default="0", nullable=False))
    op.add_column("ledger_entry", sa.Column("traffic_bytes", sa.BigInteger()))
    op.add_column("meter", sa.Column("traffic_at", sa.DateTime(timezone=True)))
    for name in SUMMED:
        op.add_column("meter", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index(
        "ix_meter_closing",
        "meter",
        ["ended_at"],
        postgresql_where=sa.text("traffic_at IS NOT NULL AND ended_at IS NOT NULL"),
    )
    op.create_table(
        "ledger_month",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_ledger_month_account_id_account")),
        sa.PrimaryKeyConstraint("account_id", "month", name=op.f("pk_ledger_month")),
    )
    op.execute(SUMS)
    op.execute(TRAFFIC)
    op.alter_column("rate_period", "bandwidth_gb", server_default=None)


def downgrade() -> None:
    op.execute(WITHOUT_MONTHS)
    op.drop_table("ledger_month")
    op.drop_index("ix_meter_closing", table_name="meter")
    for name in (*SUMMED, "traffic_at"):
        op.drop_column("meter", name)
    op.drop_column("ledger_entry", "traffic_bytes")
    op.drop_column("rate_period", "bandwidth_gb")
