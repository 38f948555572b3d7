"""What the relay is doing, and how much it has done: for readiness, for metrics, and for whoever waits for a moment.

Written by the relay alone, read by anybody on the event loop. `until` waits for a state, not for a time: tests and the
`ready` message use it.
"""

import asyncio
from collections.abc import Callable

from .watch import Watch


class Pulse:
    """The relay's state. Times are those of the relay's clock, in seconds."""

    def __init__(self) -> None:
        self.connected = False
        """Whether the listener's connection is up, its bell proven, and the place in the log known."""
        self.leading = False
        self.resting = False
        """Whether the relay waits for the bell or the next poll."""
        self.asleep = False
        """Whether it holds the lock, so that writers ring."""
        self.leased = True
        """Whether the database allows capture: it stops by itself when relays were away for too long."""
        self.problem: str | None = "the relay has not started yet"
        """Why it is not connected."""
        self.failure: Exception | None = None
        """What the last connection ended with, or could not begin with."""
        self.epoch_id: str | None = None
        """The database's own name of the epoch in which we are."""
        self.watches: tuple[Watch, ...] = ()
        self.kicks = -1
        """The database's count of kicks; -1 before the first look."""
        self.inquiries = -1
        """The database's count of inquiries; -1 before the first look."""
        self.looked_at = float("-inf")
        self.looks = 0
        self.begun = 0
        """Looks at the log that have begun, by number; `looks` counts those that came to an end."""
        self.ended = 0
        """The number of the last one that came to an end: whoever waits for a newer one has seen what there was."""
        self.found = 0
        """Events read from the log, or from the stream."""
        self.copies = 0
        """Batches taken from the stream instead."""
        self.windows = 0
        """Windows too large for one answer."""
        self.connections = 0
        """Times the listener has connected."""
        self.heard = 0
        """Notifications heard on the present connection."""
        self.rings = 0
        """Notifications heard since the start."""
        self.missed_bells = 0
        """Looks of a relay that was asleep which found something though nobody had rung."""
        self.backend: int | None = None
        """The pid of the listener's database session: what tells this process from others while it is connected."""
        self.slept = 0
        """Times the relay fell asleep."""
        self._moved = asyncio.Event()

    @property
    def live(self) -> bool:
        """Whether capture and LISTEN are confirmed: what a `ready` message promises."""
        return self.connected and not self.reasons

    @property
    def reasons(self) -> list[str]:
        """Why it is not live, each with what to do about it; empty where it is."""
        if not self.connected:
            return [self.problem or "the relay is connecting"]
        reasons = [watch.problem for watch in self.watches if watch.problem is not None]
        if not self.watches:
            reasons.append("no table is watched: call changefeed.watch('schema.table', 'owner')")
        if not self.leased:
            reasons.append("capture has stopped, because no relay led for too long; a leading relay starts it again")
        return reasons

    async def until(self, reached: Callable[[], bool], timeout: float | None = None) -> bool:
        """Waits for a state, at most `timeout` seconds. Returns whether it was reached."""
        try:
            async with asyncio.timeout(timeout):
                while not reached():
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def up(self, *, leading: bool, backend: int | None = None) -> None:
        """The relay has its place. `backend`: None: as it was."""
        self.backend = backend or self.backend
        self.connections += 0 if self.connected else 1
        self.connected = True
        self.leading = leading
        self.problem = None
        self.move()

    def down(self, problem: str, failure: Exception | None = None) -> None:
        """It has lost its connection."""
        self.failure = failure
        self.connected = self.leading = self.asleep = self.resting = False
        self.backend = None
        self.heard = 0
        self.problem = problem
        self.move()

    def looking(self) -> None:
        """It begins to read the log."""
        self.begun += 1
        self.resting = False

    def looked(self, found: int, now: float) -> None:
        """It has read the log."""
        self.looks += 1
        self.ended = self.begun
        self.found += found
        self.looked_at = now
        self.move()

    def joined(self, found: int) -> None:
        """A copy was taken from the stream, instead of a look."""
        self.copies += 1
        self.found += found
        self.move()

    def rest(self, *, asleep: bool, heard: int) -> None:
        """It waits. `heard`: notifications on this connection so far."""
        self.rings += heard - self.heard
        self.heard = heard
        if asleep and not self.asleep:
            self.slept += 1
        self.asleep = asleep
        self.resting = True
        self.move()

    def move(self) -> None:
        """Something has changed: whoever waits looks again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
