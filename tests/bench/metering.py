"""`script/bench metering`: what the hourly charge of many servers takes, in a process like the worker.

The rows are written by SQL as creates and samples would have left them: half of the servers in one account, the
others ten an account, each with a price that has changed once and traffic in every hour, which in one of a hundred
goes beyond what is included. PostgreSQL is vacuumed and analysed, as it does by itself.
"""

import asyncio
import gc
import multiprocessing
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import sampling
from tables import say, table

from openvps import migrations
from openvps.billing.charge import Terms, charge
from openvps.core.db import Database
from throwaway_postgres import throwaway_postgres

LIMIT_S, LIMIT_MB = 10, 300
POSTGRES = "-c max_connections=100"  # else as it comes: a commit is durable
BEGAN = datetime(2026, 10, 5, 12, 34, 56, tzinfo=UTC)

FILL = (
    "INSERT INTO account (email) SELECT n || '@example.com' FROM generate_series(0, %(servers)s / 2 / 10) n",
    (
        "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference)"
        " SELECT id, 1000000000000, 'credit', 'bench' FROM account"
    ),
    (
        "INSERT INTO meter (server_id, account_id, name, started_at, due_at, traffic_at)"
        " SELECT n, CASE WHEN n > %(servers)s / 2 THEN 1 ELSE 2 + (n - 1) / 10 END, 'web-' || n,"
        " %(began)s, %(began)s, date_trunc('hour', %(began)s) FROM generate_series(1, %(servers)s) n"
    ),
    (
        "INSERT INTO rate_period (server_id, begins_at, ends_at, price_monthly_micro, bandwidth_gb)"
        " SELECT server_id, %(began)s, %(began)s + interval '1 hour', 5000000, 1024 FROM meter"
    ),
    (
        "INSERT INTO rate_period (server_id, begins_at, price_monthly_micro, bandwidth_gb)"
        " SELECT server_id, %(began)s + interval '1 hour', 10000000, 2048 FROM meter"
    ),
    "CREATE TABLE usage_hour_bench PARTITION OF usage_hour DEFAULT",
    (
        "INSERT INTO usage_hour SELECT n, date_trunc('hour', %(began)s) + h * interval '1 hour', 120, 3600, 3600, 60,"
        " 1 << 28, 1 << 30, CASE n %% 100 WHEN 0 THEN 5000000000000 ELSE 1000000000 END, 1000000"
        " FROM generate_series(0, 4) h, generate_series(1, %(servers)s) n"
    ),
)


def run(*, servers: int, sampled: int) -> bool:
    """Measure and print; returns whether the targets were met."""
    charged = _charging(servers)
    with tempfile.TemporaryDirectory(prefix="openvps-bench-metering-") as folder:
        Path(folder).chmod(0o755)
        with throwaway_postgres(Path(folder) / "postgres", POSTGRES) as url:
            migrations.upgrade(url)
            return sampling.run(url, servers=sampled) and charged


def _charging(servers: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="openvps-bench-metering-") as folder:
        Path(folder).chmod(0o755)
        with throwaway_postgres(Path(folder) / "postgres", POSTGRES) as url:
            migrations.upgrade(url)
            with psycopg.connect(url, autocommit=True) as conn:
                for one in FILL:
                    conn.execute(one.encode(), {"servers": servers, "began": BEGAN})
                conn.execute("VACUUM ANALYZE")
            turns = {"the first hour": 0, "one hour later": 1, "a turn with nothing due": 1, "3 hours late": 4}
            measured = {name: _measured(url, BEGAN + timedelta(hours=hours)) for name, hours in turns.items()}
    rows = [[name, f"{charged:,}", f"{took:.1f}", f"{peak:.0f}"] for name, (charged, took, peak) in measured.items()]
    say(table([f"charging {servers:,} servers", "entries", "seconds", "peak of memory, MB"], rows))
    assert [one[0] // servers for one in measured.values()] == [1, 1, 0, 3]
    say()
    hourly = [measured[name] for name in ("the first hour", "one hour later")]
    return all(took < LIMIT_S for _, took, _ in hourly) and all(peak < LIMIT_MB for _, _, peak in measured.values())


def _measured(url: str, at: datetime) -> tuple[int, float, float]:
    """Charge in a new process; returns how many entries, in how many seconds, with how many MB at most."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_charge, (url, at))


def _charge(url: str, at: datetime) -> tuple[int, float, float]:
    async def turn() -> int:
        database = Database(url)
        charged = await charge(database, Terms(10**7, 10_000), at=at)
        await database.close()
        return charged

    gc.collect()
    gc.freeze()  # as the worker does
    began = time.perf_counter()
    charged = asyncio.run(turn())
    return charged, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
