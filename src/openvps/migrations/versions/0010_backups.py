"""Backups."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "backup",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("server_uuid", sa.UUID(), nullable=False),
        sa.Column("server_name", sa.Text(), nullable=False),
        sa.Column("backup_type", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="in_progress", nullable=False),
        sa.Column("wanted", sa.Text(), server_default="present", nullable=False),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("look_at", sa.DateTime(timezone=True)),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("backup_type IN ('manual', 'automatic')", name=op.f("ck_backup_backup_type")),
        sa.CheckConstraint("status IN ('in_progress', 'completed', 'failed')", name=op.f("ck_backup_status")),
        sa.CheckConstraint("wanted IN ('present', 'absent')", name=op.f("ck_backup_wanted")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_backup_account_id_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup")),
        sa.UniqueConstraint("uuid", name=op.f("uq_backup_uuid")),
    )
    op.create_index(op.f("ix_backup_account_id_id"), "backup", ["account_id", "id"])
    op.create_index(op.f("ix_backup_server_id"), "backup", ["server_id"])
    op.create_index("ix_backup_due", "backup", ["look_at"], postgresql_where=sa.text("look_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_table("backup")
