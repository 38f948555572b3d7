"""What only the database knows of the feed: read for whoever scrapes, but rarely.

Guarantees: two statements in PAUSE seconds at most, however many scrape; one that does not answer holds up nobody for
longer than ANSWER_SECONDS, and what was read before is told no more.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS
from changefeed.relay import LOST
from changefeed.sql import query

logger = logging.getLogger("changefeed.readings")

PAUSE = 10.0
ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One of them."""

    queue_usage: float
    """The part of the notification queue that is in use."""
    lease_seconds: float
    """After which capture stops by itself, if no relay leads."""
    capture_errors: int
    """Since the installation."""
    log_bytes: int
    leader_silent: float | None
    """Seconds since the leader has said something; None where nobody leads."""


class Readings:
    """The newest one of a process."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self.newest: Reading | None = None
        """None: the database has not answered the last time."""

    async def refresh(self) -> None:
        """Read anew, unless that was done a moment ago."""
        async with self._lock:
            if time.monotonic() - self._tried_at < PAUSE:
                return
            self._tried_at = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self.newest = await self._read()
            except LOST as error:
                self.newest = None
                logger.warning("the database could not be read for metrics: %s: %s", type(error).__name__, error)

    async def _read(self) -> Reading:
        async with self._feed.pool.acquire() as connection:
            row = await connection.fetchrow(query("readings"))
            leader = await connection.fetchrow(query("leader"), LOCK_CLASS, LEADER)
        assert row is not None
        silent = None if leader is None else leader["silent"]
        return Reading(**dict(row), leader_silent=silent)
