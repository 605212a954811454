"""Tickets for servers' serial consoles."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "console_ticket",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("server_id", sa.BigInteger(), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("session_digest", sa.LargeBinary()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["server_id"], ["server.id"], name=op.f("fk_console_ticket_server_id_server"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["token.id"], name=op.f("fk_console_ticket_token_id_token"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_console_ticket")),
    )
    for column in ("expires_at", "server_id", "token_id"):
        op.create_index(op.f(f"ix_console_ticket_{column}"), "console_ticket", [column])


def downgrade() -> None:
    op.drop_table("console_ticket")
