"""What only the leading relay does: begin its term, keep capture allowed, and empty the log's old leaves.

All of it is a statement now and then on the listener's connection, none of it while nothing is due. Assumes that one
process at a time leads, which the lock guarantees; each statement is safe even if two did.
"""

from collections.abc import Callable
from datetime import timedelta

from .listener import Listener
from .settings import Settings

ROTATIONS_PER_SLOT = 4
SLOTS_PER_RETENTION = 5
LONGEST_PAUSE = 300.0
"""Seconds between two chores, at most."""
RETRY_PAUSE = 30.0
"""Seconds after which chores that failed are tried again, at most: while they wait for a lock, nobody looks at the log."""
FOLLOWED_SECONDS = 1.0
"""For how long it is believed that nobody follows, or that somebody does."""


class Chores:
    """One term of leadership."""

    def __init__(self, listener: Listener, settings: Settings, clock: Callable[[], float]) -> None:
        self._listener = listener
        self._settings = settings
        self._clock = clock
        self._pause = min(
            LONGEST_PAUSE,
            settings.retention.total_seconds() / SLOTS_PER_RETENTION / ROTATIONS_PER_SLOT,
            settings.max_absence.total_seconds() / 10,
        )
        self._followed = False
        self._followed_at = float("-inf")
        self.due = clock()
        self.emptied = 0
        """Leaves emptied in this term."""
        self.doorbell = False
        """Whether writers are known to ring, so that the relay may sleep."""

    async def take_over(self) -> bool:
        """Become the leader. Returns False where another one leads."""
        return await self._listener.try_lead()

    async def settle(self) -> None:
        """Tell the database how we want things, and let capture go on. Raises asyncpg.PostgresError.

        For example where somebody's open transaction holds a lock; `run` tries again, and the log is read meanwhile.
        """
        listener, settings = self._listener, self._settings
        doorbell: bool = (
            settings.doorbell
            if settings.doorbell is not None
            # NOTIFY makes PREPARE TRANSACTION fail, so where that may be used nobody rings.
            else await listener.value("select current_setting('max_prepared_transactions')::int = 0")
        )
        await self._configure(settings.retention, settings.max_absence, doorbell)
        self.doorbell = doorbell
        # Where capture had stopped changes are missing, and what cursors of before promise is no longer true. In one
        # statement, because the answer is given once: were the epoch not to begin, nobody would ever know.
        await listener.value("select case when changefeed.extend() then changefeed.begin_epoch(true) end")

    async def run(self) -> None:
        """What is due: the lease, and rotation. Raises asyncpg.PostgresError, and is due again sooner then."""
        self.due = self._clock() + min(self._pause, RETRY_PAUSE)
        await self.settle()
        self.emptied += await self._listener.value("select changefeed.rotate()")
        self.due = self._clock() + self._pause

    async def wake_followers(self) -> None:
        """There is something to read. Asks only now and then whether anybody follows."""
        now = self._clock()
        if now - self._followed_at >= FOLLOWED_SECONDS:
            self._followed_at = now
            self._followed = await self._listener.followed()
        if self._followed:
            await self._listener.ring()

    async def _configure(self, retention: timedelta, max_absence: timedelta, doorbell: bool) -> None:
        # Only what differs: the retention is baked into a function, and a new one makes every session plan anew.
        await self._listener.value(
            "select changefeed.configure($1, $2, $3) from changefeed.state s"
            " where (s.retention, s.max_absence, s.doorbell) is distinct from ($1, $2, $3)",
            retention,
            max_absence,
            doorbell,
        )
