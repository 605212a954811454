"""Backups know what they are of, who has a copy, and when they were proved."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("backup", sa.Column("system_id", sa.BigInteger()))
    op.add_column("backup", sa.Column("storage_gb", sa.Integer()))
    op.add_column("backup", sa.Column("manifest", sa.Text()))
    op.add_column(
        "backup",
        sa.Column("lent_to", postgresql.ARRAY(sa.BigInteger()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("backup", sa.Column("verified_at", sa.DateTime(timezone=True)))
    op.add_column("backup", sa.Column("verify_failed_at", sa.DateTime(timezone=True)))
    op.add_column("backup", sa.Column("verify_error", sa.Text()))
    op.add_column("backup", sa.Column("verify_cell_id", sa.BigInteger()))
    op.add_column("backup", sa.Column("verify_deadline_at", sa.DateTime(timezone=True)))
    op.create_foreign_key(op.f("fk_backup_system_id_system"), "backup", "system", ["system_id"], ["id"])
    op.create_foreign_key(
        op.f("fk_backup_verify_cell_id_cell"), "backup", "cell", ["verify_cell_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "ix_backup_verifying",
        "backup",
        ["verify_cell_id"],
        postgresql_where=sa.text("verify_cell_id IS NOT NULL"),
    )
    op.execute(
        "UPDATE backup SET system_id = server.system_id, storage_gb = server.storage_gb "
        "FROM server WHERE server.id = backup.server_id"
    )


def downgrade() -> None:
    op.drop_index("ix_backup_verifying", "backup")
    for name in ("system_id", "storage_gb", "manifest", "lent_to", "verified_at", "verify_failed_at"):
        op.drop_column("backup", name)
    for name in ("verify_error", "verify_cell_id", "verify_deadline_at"):
        op.drop_column("backup", name)
