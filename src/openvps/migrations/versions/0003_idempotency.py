"""Answers kept for who repeats a POST, and word of changes for who waits for them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

# Who waits for a server or an action (`?wait=`) listens: see actions/waiting.py.
TELL = """
CREATE FUNCTION openvps_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('openvps_changes', TG_TABLE_NAME || ':' || OLD.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_change AFTER UPDATE OF status ON server
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION openvps_tell();
CREATE TRIGGER tell_end AFTER DELETE ON server FOR EACH ROW EXECUTE FUNCTION openvps_tell();
CREATE TRIGGER tell_change AFTER UPDATE OF status, progress ON action
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION openvps_tell();
"""

TELL_NOT = """
DROP TRIGGER tell_change ON action;
DROP TRIGGER tell_end ON server;
DROP TRIGGER tell_change ON server;
DROP FUNCTION openvps_tell();
"""


def upgrade() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
            name=op.f("fk_idempotency_key_account_id_account"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"])
    op.add_column("action", sa.Column("started_at", sa.DateTime(timezone=True)))
    op.add_column("action", sa.Column("progress", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("action", sa.Column("before", postgresql.JSONB()))
    op.create_check_constraint(op.f("ck_action_progress"), "action", "progress BETWEEN 0 AND 100")
    op.execute(TELL)


def downgrade() -> None:
    op.execute(TELL_NOT)
    op.drop_column("action", "before")
    op.drop_column("action", "progress")
    op.drop_column("action", "started_at")
    op.drop_table("idempotency_key")
