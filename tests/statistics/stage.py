"""A stage for statistics: hub and log on a real server, with the time and the order of things in the test's hand.

The log is looked at when the test says so, an aggregate is read when the test says so, and its answer comes when the test
says so: what tasks do in any order, a test does in the order that it wants to know about.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from changefeed import eventlog
from changefeed.catalogue import Catalogue
from changefeed.cursor import Cursor
from changefeed.event import Batch, Owner
from changefeed.hub import Hub
from changefeed.listener import connect
from changefeed.mapping import EventMapping
from changefeed.pulse import Pulse
from changefeed.reading import Reader, host_pool
from changefeed.reckoner import Answer, Reckoner
from changefeed.session import Session
from changefeed.settings import Settings
from changefeed.statistic import Job, offered
from changefeed.statistics import Statistics
from changefeed.vitals import Vitals
from changefeed.window import Window
from tests.statistics.watching import Clock, bodies

SECONDS = 20.0


@dataclass
class Stage:
    """See above."""

    settings: Settings
    hub: Hub
    statistics: Statistics
    reader: Reader
    vitals: Vitals
    clock: Clock
    _log: "asyncpg.Connection[Any]"
    _reckoner: Reckoner
    sessions: list[Session] = field(default_factory=list)

    def join(
        self, *owners: str, admin: bool = False, topics: frozenset[str] | None = None, kind: str = "user"
    ) -> Session:
        """Somebody comes who has these owners' rows."""
        assert self.hub.cursor is not None
        session = Session(
            owners=frozenset(Owner(kind, owner) for owner in owners),
            admin=admin,
            position=self.hub.cursor,
            max_messages=100_000,
            max_bytes=1 << 30,
            wake=lambda: None,
            topics=topics,
        )
        self.hub.add(session)
        self.sessions.append(session)
        self.statistics.welcome(session)
        return session

    async def look(self) -> None:
        """Publish what has been committed by now."""
        assert self.hub.cursor is not None
        place = self.hub.cursor
        page = await eventlog.poll(self._log, place.snapshot, 1_000_000, SECONDS)
        assert not page.more
        self.hub.publish(Batch(page.events, Cursor(place.epoch, page.snapshot)), self.clock.now)

    async def answer(self, job: Job) -> Answer:
        """Run an aggregate. Its snapshot is taken now."""
        return await self._reckoner.answer(job)

    async def work(self) -> int:
        """Run every aggregate that is asked for at this moment. Returns how many those were."""
        done = 0
        while (job := self.statistics.next_job()) is not None:
            self.statistics.finish(job, *await self.answer(job))
            done += 1
        return done

    async def settle(self) -> None:
        """Everything that has been committed is published, added up and told."""
        await self.look()
        for _ in range(10):
            # Beyond every rest and interval, not as far as the next comparison.
            self.clock.now += 2.0
            if not await self.work():
                break
        self.clock.now += 2.0
        self.statistics.tell()

    def told(self, session: Session, topic: str) -> list[dict[str, Any]]:
        """The bodies of this statistic that the session has been sent since it was last asked; of its events nothing."""
        return bodies(session.take(self.clock.now)).get(topic, [])


@asynccontextmanager
async def staged(dsn: str, **settings: Any) -> AsyncIterator[Stage]:
    """A stage over a migrated database."""
    chosen = Settings(dsn=dsn, **({"statistics_check_interval": 1e9, "statistics_interval": 1.0} | settings))
    clock, pulse = Clock(), Pulse()
    log = await connect(dsn, SECONDS, "changefeed test")
    try:
        async with host_pool(dsn, 3) as pool:
            hub = Hub(EventMapping(chosen.sources), Window(0, 0))
            page = await eventlog.poll(log, None, 0, SECONDS)
            hub.begin(Cursor(await log.fetchval("select changefeed.begin_epoch()"), page.snapshot))
            catalogue = Catalogue(chosen.sources)
            reader = Reader(pool, hub, catalogue)
            vitals = Vitals(reader, hub, pulse, 5.0, clock, lambda: 0)
            statistics = Statistics(offered(chosen), clock, chosen.statistics_check_interval)
            hub.taps.add(statistics)
            reckoner = Reckoner(chosen, reader, catalogue, vitals, pulse)
            yield Stage(chosen, hub, statistics, reader, vitals, clock, log, reckoner)
    finally:
        await log.close()
