"""Accounts that others have: passwords, invites, quotas, an end; and an audit log that even we can't change."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# The rule stands in the database, where a mistake of ours, or who has taken our process over, meets it too.
APPEND_ONLY = """
CREATE FUNCTION openvps_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION openvps_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION openvps_append_only();
"""

APPEND_ONLY_NOT = """
DROP TRIGGER append_only ON ledger_entry;
DROP TRIGGER append_only ON audit_entry;
DROP FUNCTION openvps_append_only();
"""


def upgrade() -> None:
    for column in (
        sa.Column("password_hash", sa.Text()),
        sa.Column("invite_digest", sa.LargeBinary()),
        sa.Column("invite_expires_at", sa.DateTime(timezone=True)),
        sa.Column("max_vcpus", sa.Integer()),
        sa.Column("creates_an_hour", sa.Integer()),
        sa.Column("disabled_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("account", column)
    op.create_unique_constraint(op.f("uq_account_invite_digest"), "account", ["invite_digest"])
    op.add_column("token", sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False))
    op.create_unique_constraint(op.f("uq_token_uuid"), "token", ["uuid"])
    op.add_column("audit_entry", sa.Column("token_name", sa.Text()))
    op.add_column("audit_entry", sa.Column("request_id", sa.Text()))
    op.create_index(
        "ix_action_creates",
        "action",
        ["account_id", "created_at"],
        postgresql_where=sa.text("kind = 'server.create'"),
    )
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.execute(APPEND_ONLY_NOT)
    op.drop_index("ix_action_creates", table_name="action")
    op.drop_column("audit_entry", "request_id")
    op.drop_column("audit_entry", "token_name")
    op.drop_column("token", "uuid")
    for name in (
        "deleted_at",
        "disabled_reason",
        "creates_an_hour",
        "max_vcpus",
        "invite_expires_at",
        "invite_digest",
        "password_hash",
    ):
        op.drop_column("account", name)
