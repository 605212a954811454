"""How many servers there are of a kind: folding the rows that triggers write with each change of a server."""

from sqlalchemy import text

from openvps.core.db import Connection

_ADD_UP = text(
    "WITH moved AS (SELECT account_id, location_id, status FROM server_count GROUP BY 1, 2, 3"
    " HAVING count(*) > 1 OR sum(n) = 0),"
    " gone AS (DELETE FROM server_count AS c USING moved WHERE c.account_id = moved.account_id"
    " AND c.location_id = moved.location_id AND c.status = moved.status RETURNING c.*)"
    " INSERT INTO server_count (account_id, location_id, status, n)"
    " SELECT account_id, location_id, status, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0"
)


async def add_up(conn: Connection) -> None:
    """Fold the rows that triggers wrote, to one a kind. Two at once do no harm: a row is folded by who deletes it."""
    await conn.execute(_ADD_UP)
