"""Alembic's entry: one transaction for all steps, on a plain synchronous connection."""

import re

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from openvps.core.db import sqlalchemy_url
from openvps.schema import metadata

# Procrastinate's tables come from its own SQL, partitions from the worker.
OTHERS = re.compile(r"procrastinate_|usage_\w+_p\d+$")


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    return not (kind == "table" and name is not None and OTHERS.match(name))


engine = create_engine(sqlalchemy_url(context.config.attributes["conninfo"]), poolclass=NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=_ours,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
