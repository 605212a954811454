"""Reports of whether engine and database agree, and what operators do beside accounts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"

# Tokens that were made for everything an operator may are for what is new among it too.
EVERYTHING = "ARRAY['*:*', 'accounts:*']::text[]"


def upgrade() -> None:
    op.create_table(
        "consistency_report",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("uuid", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("repair", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("found", sa.Integer()),
        sa.Column("repaired", sa.Integer()),
        sa.Column("unseen", sa.Integer()),
        sa.Column("result", JSONB(none_as_null=True)),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('queued', 'running', 'completed')", name=op.f("ck_consistency_report_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consistency_report")),
        sa.UniqueConstraint("uuid", name=op.f("uq_consistency_report_uuid")),
    )
    op.execute(
        f"UPDATE token SET permissions = permissions || ARRAY['operations:*'] WHERE permissions = {EVERYTHING}"
    )


def downgrade() -> None:
    op.execute("UPDATE token SET permissions = array_remove(permissions, 'operations:*')")
    op.drop_table("consistency_report")
