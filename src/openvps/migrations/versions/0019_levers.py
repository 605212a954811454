"""What operators steer by: pauses, creates at once, cancelled actions; and creates that are tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

# Who waits to be made, in the order of their turns. An account's next comes after as many of others' as it is having
# made, or asked for before; of two it is the one whose account had its turn longer ago. So who asks for fifty doesn't
# keep others waiting for all of them.
QUEUE = """
CREATE VIEW server_queue AS
SELECT id, cell_id,
    row_number() OVER (PARTITION BY cell_id ORDER BY had + asked, last_turn NULLS FIRST, id) AS position
FROM (
    SELECT server.id, server.cell_id,
        row_number() OVER (PARTITION BY server.cell_id, server.account_id ORDER BY server.id) AS asked,
        (SELECT count(*) FROM server AS made WHERE made.cell_id = server.cell_id
            AND made.account_id = server.account_id AND made.status = 'provisioning'
            AND made.admitted_at IS NOT NULL) AS had,
        (SELECT max(made.admitted_at) FROM server AS made WHERE made.cell_id = server.cell_id
            AND made.account_id = server.account_id) AS last_turn
    FROM server WHERE status = 'provisioning' AND admitted_at IS NULL AND wanted = 'running'
) AS waiting;
"""


def upgrade() -> None:
    for table in ("location", "cell"):
        op.add_column(table, sa.Column("paused_at", sa.DateTime(timezone=True)))
        op.add_column(table, sa.Column("paused_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("cell", sa.Column("creates_at_once", sa.Integer()))
    op.create_check_constraint("creates_at_once", "cell", "creates_at_once > 0")
    op.add_column("server", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("server", sa.Column("admitted_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE server SET admitted_at = created_at")
    made = sa.text("status = 'provisioning'")
    op.create_index("ix_server_being_made", "server", ["cell_id", "account_id"], postgresql_where=made)
    op.add_column("action", sa.Column("cancelled_for", sa.Text()))
    op.execute(QUEUE)


def downgrade() -> None:
    op.execute("DROP VIEW server_queue")
    op.drop_column("action", "cancelled_for")
    op.drop_index("ix_server_being_made", table_name="server")
    op.drop_column("server", "admitted_at")
    op.drop_column("server", "attempts")
    op.drop_constraint(op.f("ck_cell_creates_at_once"), "cell")
    op.drop_column("cell", "creates_at_once")
    for table in ("cell", "location"):
        op.drop_column(table, "paused_reason")
        op.drop_column(table, "paused_at")
