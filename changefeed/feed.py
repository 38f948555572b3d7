"""The whole engine of one process, put together: relay, hub, statistics, and the pools that sessions and answers read from.

    async with Feed(settings) as feed:
        async with feed.subscribe(owners, admin=False, since=cursor) as subscription:
            items = await subscription.next(timeout=20)

The only place that constructs these parts. Guarantees: leaving the block ends every task and closes every connection.
Starting needs no database: until it is reachable, `feed.pulse` says why nothing is live.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import asyncpg

from . import topics
from .catalogue import Catalogue
from .cursor import Cursor
from .errors import ConfigurationError
from .event import Event, Owner
from .hub import Hub
from .mapping import EventMapping
from .messages import Mode, Outcome
from .pulse import Pulse
from .reading import Reader, Reading, host_pool
from .reckoner import Reckoner
from .relay import Relay
from .replay import Replays
from .session import Session
from .settings import Settings, misspelt
from .standing import standing
from .statistic import offered
from .statistics import Statistics
from .subscription import Change, Greeting, Subscription
from .vitals import Vitals
from .window import Window
from .witness import Witness

if TYPE_CHECKING:
    from .stream import Stream

logger = logging.getLogger("changefeed.feed")

CLOSE_SECONDS = 5.0
"""For which each part may take to finish when the feed ends."""
EVENTS_WAITING = 100_000
"""Events that `events` keeps for who takes them; there is no log to fall back on."""


class Feed:
    """See above."""

    def __init__(self, settings: Settings, *, statistics: bool = False) -> None:
        """Connects to nothing yet. `statistics`: subscriptions to everything get the live statistics too.

        Raises ConfigurationError where no database is configured.
        """
        if settings.dsn is None:
            raise ConfigurationError(
                "No database is configured. Set DATABASE_URL (or CHANGEFEED_DSN), for example"
                " postgresql://user:password@127.0.0.1:5432/app"
            )
        self.settings = settings
        self._dsn = settings.dsn
        self.mapping = EventMapping(settings.sources)
        self.hub = Hub(self.mapping, Window(settings.window_events, settings.window_bytes))
        self.relay = Relay(self._dsn, settings, self.hub, time.monotonic, _stream(settings.source))
        self.catalogue = Catalogue(settings.sources)
        self.statistics = Statistics(
            offered(settings) if statistics else (), time.monotonic, settings.statistics_check_interval, self._reckon
        )
        self._reckoner: Reckoner | None = None
        self.witness = Witness(self.hub, self.relay.pulse)
        self.outcomes: dict[str, int] = {}
        """What came of asking to resume, since the start."""
        self._stack = AsyncExitStack()

    @property
    def pulse(self) -> Pulse:
        """What the relay is doing."""
        return self.relay.pulse

    async def __aenter__(self) -> Self:
        for name, meant in misspelt(os.environ).items():
            advice = f"Is {meant} meant? " if meant else ""
            logger.warning(
                "%s is no setting, and is not looked at. %sdocs/settings.md has all that there are", name, advice
            )
        async with AsyncExitStack() as stack:
            # None is opened before it is needed, so that the process starts without a database too.
            self.pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=self.settings.pool_size,
                reset=_left_as_it_was,
                timeout=10.0,
                server_settings={
                    "application_name": "changefeed reader",
                    "default_transaction_isolation": "read committed",
                    "enable_seqscan": "off",
                    "plan_cache_mode": "force_generic_plan",
                    "jit": "off",
                },
            )
            stack.push_async_callback(_closed, self.pool)
            self.host_pool = await host_pool(self._dsn, self.settings.host_pool_size)
            stack.push_async_callback(_closed, self.host_pool)
            self.reader = Reader(self.host_pool, self.hub, self.catalogue)
            self.vitals = Vitals(
                Reader(self.pool, self.hub, self.catalogue),
                self.hub,
                self.pulse,
                self.settings.system_metrics_interval,
                time.monotonic,
                lambda: sum(self.statistics.drift.values()),
            )
            if self.statistics.topics:
                self._reckoner = Reckoner(self.settings, self.reader, self.catalogue, self.vitals, self.pulse)
                self.hub.taps.add(self.statistics)
                run = partial(self._reckoner.run, self.statistics)
                reckoning = asyncio.create_task(standing("the statistics", run), name="changefeed statistics")
                stack.push_async_callback(_ended, reckoning)
            run = partial(self.witness.run, self.pool)
            witnessing = asyncio.create_task(standing("the witness", run), name="changefeed witness")
            stack.push_async_callback(_ended, witnessing)
            self.replays = Replays(self.pool, self.hub, self.pulse, self.settings)
            stack.push_async_callback(_ended, asyncio.create_task(self.relay.run(), name="changefeed relay"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in list(self.hub.sessions):
            session.close()
        await self._stack.aclose()

    def subscribe(
        self,
        owners: Collection[Owner],
        *,
        admin: bool = False,
        since: str | None = None,
        topics: frozenset[str] | None = None,
        mode: Mode = "log",
        min_interval: float = 0.0,
        greeting: Greeting = lambda _answer, outcome, _session: f'{{"outcome":"{outcome}"}}',
    ) -> Subscription:
        """A subscription of these owners; its first message answers with the outcome. The feed must be live.

        `min_interval`: seconds. `topics`: as checked by `choose`; None: everything that may be seen.
        """
        hub, settings = self.hub, self.settings
        if hub.cursor is None:
            raise RuntimeError("the feed is not live yet: await feed.pulse.until(lambda: feed.pulse.live)")
        position = hub.cursor

        def welcomed(answer: str, outcome: Outcome, session: Session) -> str:
            # Its first numbers go into its buffer, and so come after the answer.
            self.statistics.welcome(session)
            return greeting(answer, outcome, session)

        def session(wake: Callable[[], None]) -> Session:
            return Session(
                owners=frozenset(owners),
                admin=admin,
                position=position,
                max_messages=settings.buffer_messages,
                max_bytes=settings.buffer_bytes,
                wake=wake,
                topics=topics,
                mode=mode,
                min_interval=min_interval,
            )

        first = Change("ready", since=since)
        return Subscription(hub, self.relay, self.replays, session, first, welcomed, self.outcomes)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        """A transaction that reads the host's tables, with its place in the log. Raises what `Reader.open` raises.

        A process that has only just started waits for its relay's first connection, or its failure: whoever is answered
        without a place could not join the stream where the answer ends.
        """
        pulse, hub = self.pulse, self.hub
        if hub.cursor is None and pulse.failure is None:
            await pulse.until(lambda: hub.cursor is not None or pulse.failure is not None, self.settings.ready_timeout)
        async with self.reader.open() as reading:
            yield reading

    async def events(self) -> AsyncIterator[Event]:
        """Every event of everybody, from now on, for use in this process. Raises OverflowError to who is too slow for it."""
        tap = _Queue()
        self.hub.taps.add(tap)
        try:
            while True:
                event = await tap.queue.get()
                if tap.overflown:
                    raise OverflowError(f"more than {EVENTS_WAITING} events waited to be taken")
                yield event
        finally:
            self.hub.taps.discard(tap)

    def visible(self, admin: bool) -> list[str]:
        """The topics that a subscription to everything receives."""
        return topics.visible(self.mapping, self._watched(), self.statistics.topics, admin)

    def choose(self, wanted: Collection[str], admin: bool) -> frozenset[str]:
        """These topics, if all of them exist and may be seen. Raises TopicError."""
        return topics.chosen(wanted, self.mapping, self._watched(), self.statistics.topics, admin)

    def _reckon(self) -> None:
        if self._reckoner is not None:
            self._reckoner.wake()

    def _watched(self) -> list[str]:
        return [watch.source for watch in self.pulse.watches]


class _Queue:
    """The tap of `events`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue(EVENTS_WAITING)
        self.overflown = False

    def published(self, events: Sequence[Event], _cursor: Cursor | None) -> None:
        for event in events:
            if self.queue.full():
                self.overflown = True
                return
            self.queue.put_nowait(event)

    def restarted(self, _cursor: Cursor) -> None:
        """Nothing is derived here."""


def _stream(url: str | None) -> Stream | None:
    if url is None:
        return None
    try:
        from .stream import Stream
    except ImportError as error:
        raise ConfigurationError(
            f"CHANGEFEED_SOURCE needs a package that is not here ({error.name}). Run: pip install 'changefeed[redis]'"
        ) from None
    return Stream(url)


async def _left_as_it_was(_connection: object) -> None:
    """Our statements leave nothing behind in a session, so it need not be cleared after each: that is a query of its own."""


async def _closed(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    # Where the network is frozen, asyncpg waits for the server to confirm even that a statement was cancelled; it gives up
    # when its pool is ended, which comes after this.
    done, _ = await asyncio.wait([task], timeout=CLOSE_SECONDS)
    for ended in done:
        if not ended.cancelled() and (failure := ended.exception()) is not None:
            logger.error("a task of the feed failed", exc_info=failure)
