"""Events: what happens to an account's things, numbered in the order it is committed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"

# The triggers are deferred: they number at commit, so that an account's transactions wait for each other only while
# they commit, and with nothing left to lock. A smaller number is committed first: who has read up to one misses none.
NUMBER = """
CREATE FUNCTION openvps_event(of_account bigint, of_kind text, of_server bigint, of_data jsonb)
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
CREATE FUNCTION openvps_event_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are not changed, and not removed before their time';
END
$$;
CREATE TRIGGER event_unchanged BEFORE UPDATE ON event FOR EACH ROW EXECUTE FUNCTION openvps_event_stands();
CREATE TRIGGER event_kept BEFORE DELETE ON event FOR EACH ROW
    WHEN (OLD.created_at > now() - interval '23 hours') EXECUTE FUNCTION openvps_event_stands();
"""

TELL = """
CREATE FUNCTION openvps_server_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    one server := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    shown jsonb := jsonb_build_object('id', one.id, 'uuid', one.uuid, 'name', one.name, 'status', one.status);
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM openvps_event(one.account_id, 'server.created', one.id, jsonb_build_object('server', shown));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM openvps_event(one.account_id, 'server.deleted', one.id, jsonb_build_object('server', shown));
    ELSE
        PERFORM openvps_event(one.account_id, 'server.status', one.id, jsonb_build_object(
            'server', shown, 'previous_status', OLD.status, 'error', one.error));
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_new AFTER INSERT ON server DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION openvps_server_event();
CREATE CONSTRAINT TRIGGER event_change AFTER UPDATE OF status ON server DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION openvps_server_event();
CREATE CONSTRAINT TRIGGER event_gone AFTER DELETE ON server DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION openvps_server_event();

CREATE FUNCTION openvps_action_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject text := split_part(NEW.kind, '.', 1);
    of_server bigint := CASE subject WHEN 'server' THEN NEW.subject_id
        WHEN 'snapshot' THEN (SELECT server_id FROM snapshot WHERE id = NEW.subject_id)
        WHEN 'backup' THEN (SELECT server_id FROM backup WHERE id = NEW.subject_id) END;
BEGIN
    PERFORM openvps_event(
        NEW.account_id, 'action.' || CASE WHEN TG_OP = 'INSERT' THEN 'begun' ELSE NEW.status END, of_server,
        jsonb_build_object('action', jsonb_build_object(
            'id', NEW.id, 'uuid', NEW.uuid, 'kind', NEW.kind, 'status', NEW.status, 'error', NEW.error,
            'subject', jsonb_build_object('type', subject, 'id', NEW.subject_id))));
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_new AFTER INSERT ON action DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION openvps_action_event();
CREATE CONSTRAINT TRIGGER event_end AFTER UPDATE OF status ON action DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status <> 'running') EXECUTE FUNCTION openvps_action_event();

CREATE FUNCTION openvps_backup_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM openvps_event(NEW.account_id, 'backup.' || NEW.status, NEW.server_id,
        jsonb_build_object('backup', jsonb_build_object(
            'id', NEW.id, 'uuid', NEW.uuid, 'server_id', NEW.server_id, 'server_name', NEW.server_name,
            'backup_type', NEW.backup_type, 'status', NEW.status, 'error', NEW.error)));
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_end AFTER UPDATE OF status ON backup DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status <> 'in_progress')
    EXECUTE FUNCTION openvps_backup_event();

CREATE FUNCTION openvps_notice_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM openvps_event(NEW.account_id, 'account.notice', NULL,
        jsonb_build_object('notice', jsonb_build_object('id', NEW.id, 'kind', NEW.kind, 'text', NEW.text)));
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER event_new AFTER INSERT ON notice DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION openvps_notice_event();
"""

TELL_NOT = """
DROP TRIGGER event_new ON notice;
DROP TRIGGER event_end ON backup;
DROP TRIGGER event_end ON action;
DROP TRIGGER event_new ON action;
DROP TRIGGER event_gone ON server;
DROP TRIGGER event_change ON server;
DROP TRIGGER event_new ON server;
DROP FUNCTION openvps_notice_event();
DROP FUNCTION openvps_backup_event();
DROP FUNCTION openvps_action_event();
DROP FUNCTION openvps_server_event();
"""


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("server_id", sa.BigInteger()),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_created_at"), "event", ["created_at"])
    op.create_table(
        "event_head",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_event_head")),
    )
    op.execute(NUMBER)
    op.execute(TELL)


def downgrade() -> None:
    op.execute(TELL_NOT)
    op.drop_table("event_head")
    op.drop_table("event")
    op.execute("DROP FUNCTION openvps_event_stands(); DROP FUNCTION openvps_event(bigint, text, bigint, jsonb);")
