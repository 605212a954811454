"""`script/bench lists`: the list of an account with 100 servers and with 100,000, through the api process.

The many are copies of one real server's row, written by SQL; PostgreSQL is vacuumed and analysed, as it does by
itself after so many changes.
"""

import http.client
import json
import statistics
import time
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from api_process import Account, Api, running
from tables import say, table

FEW = 100
FACTOR, LIMIT_MS = 2, 50
TURNS = 40
NEVER_KEPT = count()  # each request has a host of its own: what is measured is a list made anew
AS_FAST = {  # of the many at most FACTOR times their time of the few
    "first page": "",
    "second page": "next",
    "status=stopped": "?status=stopped",
    "status=error, 1 in 1000": "?status=error",
    "location": "?location=us-west",
    "ordering=name": "?ordering=name",
    "ordering=-updated_at": "?ordering=-updated_at",
}
WITHIN = {  # LIMIT_MS
    "name, matched by 1 in 7": "?name=B-3",
    "name, matched by none": "?name=nothing",
    "name, matched by all": "?name=web-",
    "tag, of every second": "?tag=even",
    "tag, of none": "?tag=nothing",
    "two tags": "?tag=even&tag=third",
    "page=2500": "?page=2500",
    "the last page": "?page=last",
    "the last page by name": "?ordering=name&page=last",
}


def run(*, servers: int) -> bool:
    """Measure and print; returns whether the targets were met."""
    with running() as api:
        few, many = filled(api, FEW), filled(api, servers)
        api.sql("VACUUM ANALYZE")
        rows: list[list[str]] = []
        met = True
        for name, query in AS_FAST.items():
            short, long = _median_ms(api, few, query), _median_ms(api, many, query)
            met = met and long <= FACTOR * short
            rows.append([name, f"{short:.1f}", f"{long:.1f}", f"{long / short:.2f}", f"{FACTOR} times"])
        for name, query in WITHIN.items():
            last = query.replace("last", str(servers // 20))
            long = _median_ms(api, many, last)
            met = met and long <= LIMIT_MS
            rows.append([name, "", f"{long:.1f}", "", f"{LIMIT_MS} ms"])
        say(table(["median of an answer, ms", f"{FEW} servers", f"{servers} servers", "ratio", "target"], rows))
    return met


def filled(api: Api, servers: int) -> Account:
    """Return an account with so many servers."""
    account = api.account(1)
    columns = (
        "account_id, hostname, wanted, plan_id, vcpus, memory_mib, storage_gb, price_monthly_micro, system_id,"
        " image_id, cell_id, location_id, authorized_keys"
    )
    api.sql(
        f"INSERT INTO server ({columns}, name, status, tags) SELECT {columns}, 'Web-' || n %% 7 || '-' || n,"
        " CASE WHEN n %% 1000 = 0 THEN 'error' WHEN n %% 3 = 0 THEN 'stopped' ELSE 'active' END,"
        " array_remove(ARRAY[CASE WHEN n %% 2 = 0 THEN 'even' END, CASE WHEN n %% 3 = 0 THEN 'third' END, 'all'],"
        " NULL)"
        " FROM server, generate_series(1, %s) n WHERE account_id = %s",
        servers - 1,
        account.id,
    )
    api.sql(  # what the worker's sweep does within seconds
        "WITH gone AS (DELETE FROM server_count RETURNING *) INSERT INTO server_count"
        " SELECT account_id, location_id, status, sum(n) FROM gone GROUP BY 1, 2, 3"
    )
    return account


def _median_ms(api: Api, account: Account, query: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", api.port)
    path = f"/api/v1/servers/{query}"
    if query == "next":
        body, _ = _get(connection, account, "/api/v1/servers/")
        following = urlsplit(str(body["next"]))
        path = f"{following.path}?{following.query}"
    times = [_get(connection, account, path)[1] for _ in range(TURNS)]
    connection.close()
    return statistics.median(times)


def _get(connection: http.client.HTTPConnection, account: Account, path: str) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    host = f"{next(NEVER_KEPT)}.bench.test"
    connection.request("GET", path, headers={"Authorization": f"Bearer {account.token}", "Host": host})
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1e3
    assert answer.status == 200, f"{path}: {answer.status} {body[:200]!r}"
    return json.loads(body), took
