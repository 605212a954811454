"""Feeds: each account's newest events, read once for all of a process's streams, however many these are.

What a stream costs while nothing happens is its socket and a timer: it holds no connection of the database. One
connection a process listens (`changes.Changes`), one task an account reads, and one looks every `CHECK_S` whether the
streams' tokens still hold and whether word was lost.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from openvps.accounts.auth import Caller
from openvps.accounts.permissions import allows
from openvps.actions.changes import Changes
from openvps.actions.events import queries
from openvps.actions.events.queries import Wanted
from openvps.actions.events.shape import frame, missed
from openvps.core import log, metrics
from openvps.core.clock import now
from openvps.core.db import Database, Record
from openvps.core.errors import TooMany

CHECK_S = 5.0
HEARTBEAT_S = 15.0  # proxies end a connection on which nothing comes for 30 to 60 s
KEPT = 256  # newest events of an account in memory; who is further behind reads the database
READ = 200
READ_S = 5.0  # what a read may yet take when the process ends
PERMISSION = "events:read"
TOKENS = 5  # an account may have as many streams as so many tokens
HEARTBEAT = b": nothing new\n\n"

logger = log.get(__name__)


@dataclass(frozen=True)
class Frame:
    """An event, written once for all streams."""

    number: int
    kind: str
    server_id: int | None
    text: bytes

    @classmethod
    def of(cls, row: Record) -> "Frame":
        """Return that of a row."""
        return cls(row.number, row.kind, row.server_id, frame(row))


class Feed:
    """One account's newest events; `since` and all before it are only in the database."""

    def __init__(self, account_id: int, since: int) -> None:
        self.account_id = account_id
        self.head = self.since = since
        self.readers: set[Reader] = set()
        self.word = asyncio.Event()  # that there may be something new
        self.following: asyncio.Task[None] | None = None
        self.over = False
        self._frames: deque[Frame] = deque()

    def add(self, frames: list[Frame]) -> None:
        """Append newer events, and wake who waits for them."""
        self._frames.extend(frames)
        self.head = frames[-1].number
        while len(self._frames) > KEPT:
            self.since = self._frames.popleft().number
        for reader in self.readers:
            reader.wake.set()

    def end(self) -> None:
        """Have it read no more."""
        self.over = True
        self.word.set()

    def after(self, number: int) -> list[Frame] | None:
        """Return the events after a number; None where not all of them are here."""
        if not self.since <= number <= self.head:
            return None
        return [one for one in self._frames if one.number > number]


class Feeds:
    """The feeds of all accounts that are listened to in this process."""

    def __init__(self, database: Database, changes: Changes, *, a_token: int) -> None:
        self._database, self._changes, self._a_token = database, changes, a_token
        self._feeds: dict[int, Feed] = {}
        self._by_token: Counter[int] = Counter()
        self._by_account: Counter[int] = Counter()
        self._checking: asyncio.Task[None] | None = None
        self._ending = set[asyncio.Task[None]]()  # of feeds that nobody follows: each may be reading yet
        self._closing = asyncio.Event()
        self._over = False

    @contextlib.asynccontextmanager
    async def open(self, caller: Caller) -> AsyncGenerator["Reader"]:
        """Lend a reader of the caller's account. Raises TooMany."""
        if self._by_token[caller.token_id] >= self._a_token:
            raise TooMany(f"This token has {self._a_token} streams open already. Close one.", retry_after_s=60)
        if self._by_account[caller.account_id] >= TOKENS * self._a_token:
            raise TooMany(f"This account has {TOKENS * self._a_token} streams open already.", retry_after_s=60)
        self._by_token[caller.token_id] += 1
        self._by_account[caller.account_id] += 1
        metrics.STREAMS.inc()
        reader = Reader(self, caller)
        try:
            reader.feed = await self._enter(reader)
            yield reader
        finally:
            metrics.STREAMS.dec()
            self._leave(reader)
            self._by_token -= Counter([caller.token_id])  # in place, and without those that are 0
            self._by_account -= Counter([caller.account_id])

    def of(self, account_id: int) -> int:
        """Return how many streams of an account are open."""
        return len(self._feeds[account_id].readers) if account_id in self._feeds else 0

    async def close(self) -> None:
        """End every stream, and open none any more.

        Who reads is waited for: cancelled as it takes its connection from the pool, it would leave it to nobody.
        """
        self.end()
        self._closing.set()
        following = [one.following for one in self._feeds.values()]
        tasks = [task for task in (self._checking, *following, *self._ending) if task]
        for feed in self._feeds.values():
            feed.end()
        if tasks:
            _, hang = await asyncio.wait(tasks, timeout=READ_S)
            for task in hang:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self) -> None:
        """Have every stream end: clients take it up again elsewhere, or here after a restart."""
        self._over = True
        for feed in self._feeds.values():
            for reader in feed.readers:
                reader.close()

    async def _enter(self, reader: "Reader") -> Feed:
        """Put a reader to its account's feed, which is begun for the first one."""
        account_id = reader.caller.account_id
        if account_id not in self._feeds:
            async with self._database.read() as conn:
                since = await queries.head(conn, account_id)
            self._feeds.setdefault(account_id, Feed(account_id, since))
        feed = self._feeds[account_id]
        feed.readers.add(reader)
        if feed.following is None:
            feed.following = asyncio.create_task(self._follow(feed))
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
        if self._over:
            reader.close()
        return feed

    def _leave(self, reader: "Reader") -> None:
        feed = self._feeds.get(reader.caller.account_id)
        if feed is None:
            return
        feed.readers.discard(reader)
        if not feed.readers:
            del self._feeds[feed.account_id]
            feed.end()
            if feed.following:
                self._ending.add(feed.following)
                feed.following.add_done_callback(self._ending.discard)

    async def _follow(self, feed: Feed) -> None:
        async with self._changes.of(f"event:{feed.account_id}", feed.word):
            while not feed.over:
                feed.word.clear()
                try:
                    while rows := (await self.read(feed.account_id, feed.head))[0]:
                        feed.add([Frame.of(row) for row in rows])
                except Exception:  # the next check has it look again
                    logger.exception("feed_interrupted", account=feed.account_id)
                if not feed.over:
                    await feed.word.wait()

    async def read(self, account_id: int, number: int) -> tuple[list[Record], int]:
        """Return the events after a number from the database, and the number of the newest."""
        async with self._database.read() as conn:
            rows = list(await queries.after(conn, account_id, number, limit=READ))
            return rows, rows[-1].number if rows else await queries.head(conn, account_id)

    async def _check(self) -> None:
        """Close the streams whose tokens hold no more, and wake feeds that missed word."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._closing.wait()
            try:
                if self._feeds and not self._closing.is_set():
                    await self._check_once()
            except Exception:
                logger.exception("streams_not_checked")

    async def _check_once(self) -> None:
        asked = list(self._by_token)  # others may come while we ask: they have just been looked at
        async with self._database.read() as conn:
            live = await queries.live(conn, asked, now())
            heads = await queries.heads(conn, list(self._feeds))
        over = {one for one in asked if not allows(live.get(one, ()), PERMISSION)}
        for feed in self._feeds.values():
            if heads.get(feed.account_id, 0) > feed.head:
                feed.word.set()
            for reader in feed.readers:
                if reader.caller.token_id in over:
                    reader.close()


class Reader:
    """One stream's place in its account's feed."""

    def __init__(self, feeds: Feeds, caller: Caller) -> None:
        self.caller = caller
        self.wake = asyncio.Event()
        self.closed = False
        self.feed = Feed(caller.account_id, 0)  # until it is put to the right one
        self._feeds = feeds

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self.wake.set()

    async def pieces(self, after: int | None, wanted: Wanted) -> AsyncGenerator[bytes]:
        """Yield what the stream is to have, from the event after a number (None: from now on), until closed."""
        at = self.feed.head if after is None else after
        while not self.closed:
            self.wake.clear()
            frames, gap = self.feed.after(at), b""
            if frames is None:
                frames, gap, at = await self._from_database(at)
            elif frames:
                at = frames[-1].number
            if text := gap + b"".join(one.text for one in frames if wanted.has(one.kind, one.server_id)):
                yield text
            elif not frames and not await self._woken():
                yield HEARTBEAT

    async def _from_database(self, at: int) -> tuple[list[Frame], bytes, int]:
        """Return what the feed hasn't: events, word of those that aren't kept or never were, and where that ends."""
        rows, newest = await self._feeds.read(self.feed.account_id, at)
        frames = [Frame.of(row) for row in rows]
        first = frames[0].number if frames else newest + 1
        return frames, b"" if first == at + 1 else missed(at, first), newest

    async def _woken(self) -> bool:
        """Wait for something new; False: the time for a heartbeat came first."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self.wake.wait()
        except TimeoutError:
            return False
        return True
