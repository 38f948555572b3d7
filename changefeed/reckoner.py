"""Runs the aggregates that the statistics ask for, one at a time, and tells what is due.

Several tasks, because an aggregate may take seconds in which others are to be told. Errors are said once, backed off from, and
never fatal: numbers that cannot be read are not told, and everything else goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from . import aggregate, topics
from .audience import Scope
from .catalogue import STALE, Catalogue
from .cursor import Snapshot
from .doorbell import Doorbell
from .errors import ChangefeedError
from .pulse import Pulse
from .reading import Reader
from .relay import LOST
from .settings import Settings
from .statistic import Job
from .statistics import Statistics
from .tally import Tally
from .vitals import Vitals

logger = logging.getLogger("changefeed.reckoner")

LONGEST_PAUSE = 60.0

Answer = tuple[Snapshot, Mapping[Scope, Tally]]


class Reckoner:
    """One process's. `run` it in a task of its own."""

    def __init__(self, settings: Settings, reader: Reader, catalogue: Catalogue, vitals: Vitals, pulse: Pulse) -> None:
        self._settings = settings
        self._reader = reader
        self._catalogue = catalogue
        self._vitals = vitals
        self._pulse = pulse
        self._telling = Doorbell()
        self._asking = Doorbell()
        self._problem = ""

    def wake(self) -> None:
        """There may be something to do. Does not wait."""
        self._telling.ring()
        self._asking.ring()

    async def run(self, statistics: Statistics) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell(statistics))
            tasks.create_task(self._ask(statistics))
            tasks.create_task(self._heed_watches(statistics))

    async def _heed_watches(self, statistics: Statistics) -> None:
        # A table that is watched no longer says so in no event.
        pulse, watches = self._pulse, self._pulse.watches
        while True:
            await pulse.until(lambda watches=watches: pulse.watches != watches)  # type: ignore[misc]
            watches = pulse.watches
            statistics.refresh()

    async def _tell(self, statistics: Statistics) -> None:
        while True:
            self._telling.clear()
            try:
                statistics.tell()
            except Exception:
                logger.exception("statistics could not be told")
                await asyncio.sleep(1.0)
            await self._telling.wait(min(LONGEST_PAUSE, statistics.until_telling()))

    async def _ask(self, statistics: Statistics) -> None:
        while True:
            self._asking.clear()
            if (job := statistics.next_job()) is None:
                await self._asking.wait(min(LONGEST_PAUSE, statistics.until_asking()))
                continue
            try:
                snapshot, tallies = await self.answer(job)
                statistics.finish(job, snapshot, tallies)
            except BaseException as error:
                # Whatever it was: what nobody gives up is never asked for again.
                statistics.fail(job)
                if not isinstance(error, Exception):
                    raise
                self._say(job, error)

    async def answer(self, job: Job) -> Answer:
        """Run one aggregate. Raises NotInstalledError, asyncpg.PostgresError, OSError, TimeoutError."""
        topic = job.statistic.topic
        if topic == topics.SYSTEM_METRICS:
            vital = await self._vitals.now()
            return vital.snapshot, {None: vital}
        async with self._reader.open() as reading:
            if topic == topics.DASHBOARD_STATS:
                owners = [scope for scope in job.ledgers if scope is not None]
                return reading.snapshot, dict((await aggregate.dashboards(reading, owners)).items())
            if topic == topics.COST_ANALYTICS:
                return reading.snapshot, {None: await aggregate.costs(reading, self._settings.cost_days)}
            assert self._settings.connectors is not None
            return reading.snapshot, {None: await aggregate.connectors(reading, self._settings.connectors)}

    def _say(self, job: Job, error: Exception) -> None:
        if isinstance(error, STALE):
            self._catalogue.forget()
        problem = f"{job.statistic.topic}: {type(error).__name__}: {error}"
        if not isinstance(error, (ChangefeedError, *LOST)):
            logger.error("statistics could not be read: %s", problem, exc_info=error)
        elif problem != self._problem:
            logger.warning("statistics cannot be read at the moment: %s", problem)
        self._problem = problem
