"""What servers cost, hour by hour, and an account's standing."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Servers that are older than their meter are charged from now on: nobody pays for hours that weren't counted.
METERS = """
INSERT INTO meter (server_id, account_id, name, started_at, due_at)
    SELECT id, account_id, name, now(), now() FROM server
    WHERE wanted <> 'absent' AND (ready_at IS NOT NULL OR status <> 'error');
INSERT INTO rate_period (server_id, begins_at, price_monthly_micro)
    SELECT server.id, meter.started_at, price_monthly_micro FROM server JOIN meter ON server_id = server.id;
"""


def upgrade() -> None:
    for name in ("empty_at", "unpaid_at", "suspended_at"):
        op.add_column("account", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("account", sa.Column("suspended_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("ledger_entry", sa.Column("server_id", sa.BigInteger()))
    op.add_column(
        "ledger_entry",
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(
        "ix_ledger_entry_listed", "ledger_entry", ["account_id", "id"], postgresql_include=["amount_micro"]
    )
    op.create_index("ix_ledger_entry_by_time", "ledger_entry", ["account_id", "at"])
    op.create_table(
        "meter",
        sa.Column("server_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_meter_account_id_account")),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_meter")),
    )
    op.create_index("ix_meter_due", "meter", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index(op.f("ix_meter_account_id"), "meter", ["account_id"])
    op.create_table(
        "rate_period",
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True)),
        sa.Column("price_monthly_micro", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("ends_at > begins_at", name=op.f("ck_rate_period_forward")),
        sa.CheckConstraint("price_monthly_micro >= 0", name=op.f("ck_rate_period_not_negative")),
        sa.ForeignKeyConstraint(["server_id"], ["meter.server_id"], name=op.f("fk_rate_period_server_id_meter")),
        sa.PrimaryKeyConstraint("server_id", "begins_at", name=op.f("pk_rate_period")),
    )
    op.create_index(
        "uq_rate_period_open", "rate_period", ["server_id"], unique=True, postgresql_where=sa.text("ends_at IS NULL")
    )
    op.execute(METERS)


def downgrade() -> None:
    op.drop_table("rate_period")
    op.drop_table("meter")
    op.drop_index("ix_ledger_entry_by_time", table_name="ledger_entry")
    op.drop_index("ix_ledger_entry_listed", table_name="ledger_entry")
    op.drop_column("ledger_entry", "at")
    op.drop_column("ledger_entry", "server_id")
    for name in ("suspended_reason", "suspended_at", "unpaid_at", "empty_at"):
        op.drop_column("account", name)
