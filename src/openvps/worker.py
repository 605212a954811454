"""The worker: takes converge jobs, and keeps the watchers going.

Any number of workers may run: jobs are locked per server, and each watcher's turn is taken by one worker an interval.
A worker that dies loses nothing: the rows say what is due.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta

from procrastinate import App
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.accounts import kept_answers
from openvps.actions.changes import Changes
from openvps.actions.events import queries as events
from openvps.actions.webhooks import deliver as webhooks
from openvps.actions.webhooks import queries as deliveries
from openvps.billing.charge import Terms, charge
from openvps.billing.standing import set_standing
from openvps.cells import Cells
from openvps.compute.backups import converge as backups
from openvps.compute.backups import proof_wanted, pruning, schedule
from openvps.compute.consistency import look, nights
from openvps.compute.consistency import queries as consistency
from openvps.compute.servers import queue, watch
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.compute.servers.suspension import enforce
from openvps.compute.snapshots import converge as snapshots
from openvps.compute.usage import partitions
from openvps.core import jobs, log, metrics, settings
from openvps.core.clock import SET_BACK, now
from openvps.core.db import Database
from openvps.core.exposition import exposed
from openvps.engine.protocol import Engine, EngineError
from openvps.schema import turn

logger = log.get(__name__)

CONCURRENCY = 256  # coroutines that mostly wait; each cell's gate lets some through at once
SWEEP_S = 5.0
FORGET_S = 900.0
FORGOTTEN_AT_ONCE = 5000  # events, or deliveries
NIGHTS_S = 60.0
PRUNE_S = 60.0  # between looks whether it is time
HEARTBEAT_S, STALLED_S = 3.0, 12.0
POLL_S = 2.0  # jobs are announced; this bounds what an announcement lost in Procrastinate's own loop costs


def main() -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code."""
    config = settings.load()
    log.configure("worker", level=config.log_level)
    gc.collect()
    gc.freeze()  # what was imported stays: to look through it again and again would double what charging takes
    asyncio.run(_run(config))
    return 0


async def _run(config: settings.Settings) -> None:
    conninfo = config.conninfo("worker")
    database = Database(conninfo, pool_size=10)
    app = jobs.make_app(conninfo)
    engines: dict[int, Engine] = {}
    context = Context(database, config, engines)

    async def converge_server(server_id: int) -> None:
        await converge(context, server_id)

    async def converge_snapshot(snapshot_id: int) -> None:
        await snapshots.converge(context, snapshot_id)

    app.task(name=jobs.CONVERGE_SERVER)(_measured(jobs.CONVERGE_SERVER, converge_server))

    async def converge_backup(backup_id: int) -> None:
        await backups.converge(context, backup_id)

    async def check_consistency(report_id: int) -> None:
        await look.keep(context, report_id)

    app.task(name=jobs.CHECK_CONSISTENCY)(_measured(jobs.CHECK_CONSISTENCY, check_consistency))
    app.task(name=jobs.CONVERGE_SNAPSHOT)(_measured(jobs.CONVERGE_SNAPSHOT, converge_snapshot))
    app.task(name=jobs.CONVERGE_BACKUP)(_measured(jobs.CONVERGE_BACKUP, converge_backup))
    courier, changes = webhooks.Courier(database, config), Changes(conninfo)

    async def deliver_webhook(webhook_id: int) -> None:
        await courier.deliver(webhook_id)

    app.task(name=jobs.DELIVER_WEBHOOK)(_measured(jobs.DELIVER_WEBHOOK, deliver_webhook))
    cells = Cells(context, engines, lambda name, interval_s: _take_turn(database, name, interval_s))
    try:
        async with app.open_async():
            await cells.reread()
            async with exposed(config, first=1):
                await _work(app, context, cells, changes)
    finally:
        await changes.close()
        await database.close()


def _measured(name: str, run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Count and time a job."""

    async def measured(**arguments: int) -> None:
        with metrics.JOB_S.labels(name).time():
            try:
                await run(**arguments)
            except BaseException:
                metrics.JOBS.labels(name, "failed").inc()
                raise
        metrics.JOBS.labels(name, "done").inc()

    return measured


async def _work(app: App, context: Context, cells: Cells, changes: Changes) -> None:
    """Take jobs and keep the watchers going until told to end; running jobs get 8 s, then are handed back."""
    in_hand = jobs.InHand()
    watchers = [
        asyncio.create_task(_every(context, "sweep", SWEEP_S, lambda: _sweep(app, context))),
        asyncio.create_task(_every(context, "forget", FORGET_S, lambda: _forget(context))),
        asyncio.create_task(_every(context, "billing", context.settings.billing_interval_s, lambda: _bill(context))),
        asyncio.create_task(_every(context, "nights", NIGHTS_S, lambda: _back_up(context))),
        asyncio.create_task(_every(context, "prune", PRUNE_S, lambda: pruning.prune(context))),
        asyncio.create_task(cells.keep()),
        asyncio.create_task(_let_go(app, in_hand)),
        asyncio.create_task(webhooks.follow(context.database, changes)),
    ]
    worker = asyncio.create_task(
        app.run_worker_async(
            concurrency=CONCURRENCY,
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=STALLED_S,
            fetch_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=8,
            delete_jobs="always",
            worker_middleware=[in_hand.middleware],
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.cancel)
    logger.info("worker_ready", cells=len(context.engines))
    with contextlib.suppress(asyncio.CancelledError):
        await worker
    for task in watchers:
        task.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)


async def _every(context: Context, name: str, interval_s: float, run: Callable[[], Awaitable[object]]) -> None:
    """Run a watcher every `interval_s`, in one worker at a time; a turn that fails is logged."""
    while True:
        try:
            if await _take_turn(context.database, name, interval_s):
                await run()
        except asyncio.CancelledError:
            raise
        except EngineError as error:
            metrics.WATCHER_FAILURES.labels(name).inc()
            logger.warning("engine_failed", watcher=name, error=str(error), kind=type(error).__name__)
        except Exception:
            metrics.WATCHER_FAILURES.labels(name).inc()
            logger.exception("watcher_failed", watcher=name)
        await asyncio.sleep(interval_s)


async def _take_turn(database: Database, name: str, interval_s: float) -> bool:
    """Whether this worker is the first to ask in this interval; its jitter is forgiven by a tenth."""
    since = func.now() - timedelta(seconds=0.9 * interval_s)
    take = pg_insert(turn).values(name=name, taken_at=func.now())
    take = take.on_conflict_do_update(
        index_elements=["name"],
        set_={"taken_at": func.now()},
        # One that is yet to come was taken before the clock was set back.
        where=(turn.c.taken_at < since) | (turn.c.taken_at > func.now() + SET_BACK),
    )
    async with database.begin() as conn:
        return (await conn.execute(take.returning(turn.c.name))).scalar_one_or_none() is not None


async def _sweep(app: App, context: Context) -> None:
    """Hand back the jobs of workers that died, then defer what is due."""
    if stalled := await jobs.hand_back(app, silent_s=STALLED_S):
        logger.warning("jobs_handed_back", jobs=stalled)
    await enforce(context.database)
    await queue.go_on(context.database, context.settings.creates_at_once)
    await watch.sweep(context)
    await snapshots.sweep(context)
    await backups.sweep(context)
    await webhooks.sweep(context.database)


async def _let_go(app: App, in_hand: jobs.InHand) -> None:
    """Let go of the jobs that this worker lost; each looks after its own."""
    while True:
        await asyncio.sleep(SWEEP_S)
        try:
            if lost := await in_hand.let_go(app):
                logger.warning("jobs_lost", jobs=lost)
        except Exception:  # the database may be away
            logger.exception("jobs_not_looked_after")


async def _forget(context: Context) -> None:
    """Remove what is kept for a time only."""
    async with context.database.begin() as conn:
        await kept_answers.forget_old(conn)
        await consistency.forget_reports(conn, now() - look.KEPT)
    await partitions.drop_old(context.database, now())
    for forget_old in (events.forget_old, deliveries.forget_old):
        forgotten = FORGOTTEN_AT_ONCE
        while forgotten == FORGOTTEN_AT_ONCE:
            async with context.database.begin() as conn:
                forgotten = await forget_old(conn, context.settings.event_days, limit=FORGOTTEN_AT_ONCE)


async def _back_up(context: Context) -> None:
    """Begin the night's look at whether all agrees, the daily backups that are due, and the proofs of older ones."""
    await nights.nightly(context.database, now())
    if begun := await schedule.nightly(context.database, days=context.settings.backup_days, at=now()):
        logger.info("backups_begun", servers=begun)
    if begun := await proof_wanted.schedule(context.database, days=context.settings.verify_days):
        logger.info("verifications_begun", backups=begun)


async def _bill(context: Context) -> None:
    """Charge the hours that servers have begun, and set what follows for their accounts."""
    if charged := await charge(context.database, Terms.of(context.settings)):
        logger.info("charged", hours=charged)
    await set_standing(context.database, context.settings)


if __name__ == "__main__":
    sys.exit(main())
