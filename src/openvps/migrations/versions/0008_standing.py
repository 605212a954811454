"""An account's standing: what it was told, when its servers end, and its balance without reading every hour again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

# One statement's entries at once; accounts in order, so that no two statements wait for each other.
TOTALS = """
CREATE FUNCTION openvps_add_to_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger_total AS known (account_id, amount_micro)
    SELECT account_id, sum(amount_micro)::bigint FROM added GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE SET amount_micro = known.amount_micro + excluded.amount_micro;
    RETURN NULL;
END
$$;
CREATE TRIGGER add_to_total AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION openvps_add_to_total();
INSERT INTO ledger_total (account_id, amount_micro)
    SELECT account_id, sum(amount_micro)::bigint FROM ledger_entry GROUP BY account_id;
"""


def upgrade() -> None:
    for name in ("low_at", "servers_end_at"):
        op.add_column("account", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("ledger_entry", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "ledger_total",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_ledger_total_account_id_account")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_ledger_total")),
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_notice_account_id_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(op.f("ix_notice_account_id_id"), "notice", ["account_id", "id"])
    op.execute(TOTALS)


def downgrade() -> None:
    op.execute("DROP TRIGGER add_to_total ON ledger_entry; DROP FUNCTION openvps_add_to_total();")
    op.drop_table("notice")
    op.drop_table("ledger_total")
    op.drop_column("ledger_entry", "reason")
    for name in ("servers_end_at", "low_at"):
        op.drop_column("account", name)
