"""Webhooks, and a delivery for each event that one of them wants, added with the event."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"

EVENT = """
CREATE OR REPLACE FUNCTION openvps_event(of_account bigint, of_kind text, of_server bigint, of_data jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next bigint;
    told bigint;
BEGIN
    INSERT INTO event_head AS head (account_id, number) VALUES (of_account, 1)
    ON CONFLICT (account_id) DO UPDATE SET number = head.number + 1 RETURNING head.number INTO next;
    INSERT INTO event (account_id, number, kind, server_id, data)
    VALUES (of_account, next, of_kind, of_server, of_data);
    PERFORM pg_notify('openvps_changes', 'event:' || of_account);
    FOR told IN
        INSERT INTO webhook_delivery (webhook_id, lane, kind, body, give_up_at)
        SELECT id, coalesce(of_server, 0), of_kind, jsonb_build_object(
                'type', of_kind,
                'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                'id', next, 'server_id', of_server, 'data', of_data),
            clock_timestamp() + interval '24 hours'
        FROM webhook
        WHERE account_id = of_account AND disabled_at IS NULL AND (kinds = '{}' OR of_kind = ANY (kinds))
        ORDER BY id
        RETURNING webhook_id
    LOOP
        PERFORM pg_notify('openvps_changes', 'webhook:' || told);
    END LOOP;
END
$$;
"""

VERIFIED = """
CREATE FUNCTION openvps_verified_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    good boolean := NEW.verify_failed_at IS NULL OR NEW.verify_failed_at IS NOT DISTINCT FROM OLD.verify_failed_at;
BEGIN
    PERFORM openvps_event(NEW.account_id, CASE WHEN good THEN 'backup.verified' ELSE 'backup.verify_failed' END,
        NEW.server_id, jsonb_build_object('backup', jsonb_build_object(
            'id', NEW.id, 'uuid', NEW.uuid, 'server_id', NEW.server_id, 'server_name', NEW.server_name,
            'backup_type', NEW.backup_type, 'status', NEW.status,
            'error', CASE WHEN NOT good THEN NEW.verify_error END)));
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_verified AFTER UPDATE OF verified_at, verify_failed_at ON backup
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((NEW.verified_at IS NOT NULL AND OLD.verified_at IS DISTINCT FROM NEW.verified_at)
        OR (NEW.verify_failed_at IS NOT NULL AND OLD.verify_failed_at IS DISTINCT FROM NEW.verify_failed_at))
    EXECUTE FUNCTION openvps_verified_event();
"""

VERIFIED_NOT = """
DROP TRIGGER event_verified ON backup;
DROP FUNCTION openvps_verified_event();
"""

EVENT_BEFORE = """
CREATE OR REPLACE FUNCTION openvps_event(of_account bigint, of_kind text, of_server bigint, of_data jsonb)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next bigint;
BEGIN
    INSERT INTO event_head AS head (account_id, number) VALUES (of_account, 1)
    ON CONFLICT (account_id) DO UPDATE SET number = head.number + 1 RETURNING head.number INTO next;
    INSERT INTO event (account_id, number, kind, server_id, data)
    VALUES (of_account, next, of_kind, of_server, of_data);
    PERFORM pg_notify('openvps_changes', 'event:' || of_account);
END
$$;
"""


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("disabled_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_webhook_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("uuid", name=op.f("uq_webhook_uuid")),
    )
    op.create_index(op.f("ix_webhook_account_id_id"), "webhook", ["account_id", "id"])
    clock = sa.text("clock_timestamp()")
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("lane", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=clock, nullable=False),
        sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer_status", sa.SmallInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("attempted_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=clock, nullable=False),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_delivery_status")),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_delivery_webhook_id_webhook"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("uuid", name=op.f("uq_webhook_delivery_uuid")),
    )
    pending = sa.text("status = 'pending'")
    op.create_index(op.f("ix_webhook_delivery_webhook_id_id"), "webhook_delivery", ["webhook_id", "id"])
    op.create_index(op.f("ix_webhook_delivery_created_at"), "webhook_delivery", ["created_at"])
    op.create_index(
        "ix_webhook_delivery_lanes", "webhook_delivery", ["webhook_id", "lane", "id"], postgresql_where=pending
    )
    op.create_index("ix_webhook_delivery_due", "webhook_delivery", ["next_at"], postgresql_where=pending)
    op.execute(EVENT)
    op.execute(VERIFIED)


def downgrade() -> None:
    op.execute(VERIFIED_NOT)
    op.execute(EVENT_BEFORE)
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
