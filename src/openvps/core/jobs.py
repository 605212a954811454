"""Jobs: Procrastinate on the same PostgreSQL.

The row that wants something is the truth (its `look_at` says when it is due); a job is the fast way
to get there. So a job lost costs seconds, never a server: the worker's sweep defers it again.

A job is deferred inside the caller's transaction, under a savepoint: `queueing_lock` allows one waiting
job a subject, and finding one there is success, not an error.

That a job was taken or is done is written without waiting for the disk: a customer waits for what comes next, and a
crash of PostgreSQL that loses it leaves a job to be done again, or one of `InHand`'s lost ones.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from openvps.core.clock import SET_BACK
from openvps.core.db import Connection, PatientConnection, still_there

CONVERGE_SERVER = "converge_server"
CONVERGE_SNAPSHOT = "converge_snapshot"
CONVERGE_BACKUP = "converge_backup"
CHECK_CONSISTENCY = "check_consistency"
DELIVER_WEBHOOK = "deliver_webhook"
CUSTOMER, SWEEP = 10, 0  # priorities: who waits for it goes first


def make_app(conninfo: str, *, pool_size: int = 4) -> App:
    """Return Procrastinate's app; only the worker opens it, deferring needs no pool of its own."""
    return App(
        connector=PsycopgConnector(
            pool_factory=_pool,
            conninfo=conninfo,
            kwargs={"options": "-c synchronous_commit=off"},
            configure=_each_for_itself,
            min_size=1,
            max_size=pool_size,
            connection_class=PatientConnection,
        ),
    )


def _pool(**wanted: Any) -> AsyncConnectionPool:
    """Return Procrastinate's pool.

    With a ping, BEGIN and COMMIT around each statement, which it has otherwise, asking for jobs that aren't there was
    a quarter of what an idle worker did.
    """
    options: Any = {**wanted, "check": still_there}
    return AsyncConnectionPool(**options)


async def _each_for_itself(connection: AsyncConnection[Any]) -> None:
    """Let each of Procrastinate's statements be a transaction: it never has two in one."""
    await connection.set_autocommit(True)


_deferring = make_app("")  # never opened: deferring runs on the caller's connection


async def defer(
    conn: Connection, task: str, subject: str, *, priority: int, lock: str | None = None, **arguments: int
) -> None:
    """Have `task` run soon for `subject`; commits and rolls back with the caller.

    One job runs at a time for a `lock`, which is the subject if nothing else is said.
    """
    raw = (await conn.get_raw_connection()).driver_connection
    try:
        async with conn.begin_nested():
            await _deferring.configure_task(
                task,
                lock=lock or subject,
                queueing_lock=subject,
                priority=priority,
                allow_unknown=True,
                connection=raw,
            ).defer_async(**arguments)
    except AlreadyEnqueued:
        return


# The clock was set back: who lives will say so anew, who died would be silent only once that time has come again.
_SET_BACK = "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE last_heartbeat > now() + %(at_most)s"


async def hand_back(app: App, *, silent_s: float) -> int:
    """Have the jobs of workers that were silent for so long taken up by others; returns how many they were."""
    await app.connector.execute_query_async(_SET_BACK, at_most=SET_BACK)
    stalled = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=silent_s))
    for job in stalled:
        await _let_go(app, job)
    return len(stalled)


class InHand:
    """The jobs that this process works at, to know those that it lost.

    A database that goes away just as it gives us a job, or just as we say that one is done, leaves a job that by its
    row is ours and that nobody does. Its lock would hold up its server for as long as we live.
    """

    def __init__(self) -> None:
        self._worker_id: int | None = None
        self._ids: set[int | None] = set()
        self._doubtful: set[int | None] = set()

    async def middleware(self, call_next: Callable[[], Awaitable[Any]], context: JobContext, worker: Worker) -> Any:
        """Note a job for as long as it runs."""
        self._worker_id = worker.worker_id
        self._ids.add(context.job.id)
        try:
            return await call_next()
        finally:
            self._ids.discard(context.job.id)

    async def let_go(self, app: App) -> int:
        """Have lost jobs taken up by whoever is first; returns how many they were.

        One that isn't in hand may be on its way to it or out of it: it is lost if the next look finds it so too.
        """
        if self._worker_id is None:
            return 0
        ours = await app.job_manager.list_jobs_async(status="doing", worker_id=self._worker_id)
        doubtful = {job.id: job for job in ours if job.id not in self._ids}
        lost = [job for number, job in doubtful.items() if number in self._doubtful]
        self._doubtful = set(doubtful)
        for job in lost:
            await _let_go(app, job)
        return len(lost)


async def _let_go(app: App, job: Job) -> None:
    """Have a job that nobody does taken up.

    Where another one for the subject waits already, that one does it: this would only be in its way.
    """
    try:
        await app.job_manager.retry_job(job)
    except UniqueViolation:  # of queueing_lock
        await app.job_manager.finish_job(job, Status.ABORTED, delete_job=True)
