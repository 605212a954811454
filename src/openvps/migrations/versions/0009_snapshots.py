"""Snapshots, and the generation of restores that a server shall have had."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("server", sa.Column("restores", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("server", sa.Column("restore_from", sa.Text()))
    op.add_column("server", sa.Column("restore_begun", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "snapshot",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="in_progress", nullable=False),
        sa.Column("wanted", sa.Text(), server_default="present", nullable=False),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("error", sa.Text()),
        sa.Column("look_at", sa.DateTime(timezone=True)),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('in_progress', 'completed', 'failed')", name=op.f("ck_snapshot_status")),
        sa.CheckConstraint("wanted IN ('present', 'absent')", name=op.f("ck_snapshot_wanted")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_snapshot_account_id_account")),
        sa.ForeignKeyConstraint(
            ["server_id"], ["server.id"], name=op.f("fk_snapshot_server_id_server"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("uuid", name=op.f("uq_snapshot_uuid")),
    )
    op.create_index(op.f("ix_snapshot_account_id_id"), "snapshot", ["account_id", "id"])
    op.create_index(op.f("ix_snapshot_server_id"), "snapshot", ["server_id"])
    op.create_index("ix_snapshot_due", "snapshot", ["look_at"], postgresql_where=sa.text("look_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_table("snapshot")
    for name in ("restore_begun", "restore_from", "restores"):
        op.drop_column("server", name)
