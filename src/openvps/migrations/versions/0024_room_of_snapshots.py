"""Snapshots take room in their cell; when a server was first told to shut down."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

# What snapshots take of each cell, once they have it.
TAKEN = (
    "UPDATE cell SET used_storage_gb = used_storage_gb {sign} taken.gb FROM (SELECT server.cell_id,"
    " sum(snapshot.storage_gb) AS gb FROM snapshot JOIN server ON server.id = snapshot.server_id"
    " GROUP BY server.cell_id) AS taken WHERE taken.cell_id = cell.id"
)


def upgrade() -> None:
    op.add_column("server", sa.Column("stop_told_at", sa.DateTime(timezone=True)))
    op.add_column("snapshot", sa.Column("storage_gb", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.execute(
        "UPDATE snapshot SET storage_gb = server.storage_gb FROM server"
        " WHERE server.id = snapshot.server_id AND snapshot.status <> 'failed'"
    )
    op.execute(TAKEN.format(sign="+"))


def downgrade() -> None:
    op.execute(TAKEN.format(sign="-"))
    op.drop_column("snapshot", "storage_gb")
    op.drop_column("server", "stop_told_at")
