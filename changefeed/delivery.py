"""What is read from the log, on its way to the hub.

Guarantees: each committed event is published once in an epoch, also where the reading of a window broke off in the middle;
a window too large for one answer comes in pages, and its place is reached with the last one; a window in memory that knows
nothing of before is filled from the log; where changes have gone uncaptured, the resync overtakes what was captured after
them. Assumes that nobody else writes to the hub's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import asyncpg

from . import eventlog
from .copy import Copy
from .cursor import Cursor, Snapshot
from .errors import EpochEndedError
from .event import Batch, Event
from .hub import Hub
from .messages import ResyncReason
from .portion import Portion
from .pulse import Pulse
from .seed import Seed
from .settings import Settings

ANSWER_SECONDS = 10.0
"""Within which the server must answer; a connection that is slower is given up."""
WITHHELD_SECONDS = 1.0
"""For which events wait for a leader to begin a new epoch, because changes before them were not captured. No longer: where
nobody leads, or the leader is held up, what was captured is better than nothing."""


class Delivery:
    """One process's, over all connections of its relay."""

    def __init__(self, hub: Hub, pulse: Pulse, settings: Settings, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._pulse = pulse
        self._clock = clock
        self.portion = Portion(settings.page_rows)
        """How much of the log is read at a time. It outlives the connection that was too slow for it."""
        self._sent: list[tuple[Snapshot, int]] = []
        """Of windows that were interrupted, the end and the seq up to which they have been published."""
        self._out: Callable[[Copy], None] | None = None
        self._copied: Cursor | None = None
        """The place up to which copies reach."""
        self._whole = True
        """Whether all that came after it was published in one piece."""
        self._withheld_at: float | None = None
        """Since when events are kept back, or were until they had waited long enough."""

    def copy_to(self, out: Callable[[Copy], None] | None) -> None:
        """From now on each batch is copied to `out`; None: to nobody."""
        self._out, self._copied, self._whole = out, self._hub.cursor, True

    def join(self, copy: Copy) -> bool:
        """What is new in a copy goes to the hub. Returns False where it does not join on: then the log must be read."""
        place = self._hub.cursor
        assert place is not None
        if copy.known(place):
            return True
        batch = copy.joined(place)
        if batch is None:
            return False
        assert batch.cursor is not None
        self._publish(batch.events, batch.cursor, batch.begun)
        self._pulse.joined(len(batch.events))
        return True

    async def deliver(self, connection: asyncpg.Connection[Any], place: Cursor, page: eventlog.Page) -> int:
        """What one look at the log after `place` has found. Returns how many events that were."""
        if page.floor is not None and not place.snapshot.covers(page.floor):
            self.restart(Cursor(place.epoch, page.snapshot), "retention", page.begun)
        elif self._withheld(page.leased):
            return 0
        elif page.more:
            return await self._read_window(connection, place)
        else:
            self._publish(page.events, Cursor(place.epoch, page.snapshot), page.begun)
        return len(page.events)

    def restart(self, cursor: Cursor, reason: ResyncReason, begun: int | None = None) -> None:
        """Events are missing: everybody is told to refetch, and goes on from `cursor`."""
        self._sent.clear()
        self._hub.restart(cursor, reason, begun)
        self._copied = cursor

    async def seed(self, connection: asyncpg.Connection[Any]) -> None:
        """Let the window in memory begin with what the log has, unless it did so already.

        Without it each of those who come back after a restart would read the log.
        """
        window, place = self._hub.window, self._hub.cursor
        assert place is not None
        if window.seeded or not window.max_events:
            return
        seed = Seed(place, window.max_events, window.max_bytes)
        # One more than there is room for tells that it is not all.
        limit = window.max_events + 1
        newest = eventlog.newest(connection, place.snapshot, limit, self.portion, ANSWER_SECONDS)
        async with aclosing(newest) as pages:
            async for events in pages:
                if not seed.gather(events):
                    break
        # The floor never sinks: read afterwards, it is not below what had been emptied when the events were read.
        page = await eventlog.poll(connection, None, 0, ANSWER_SECONDS)
        if page.epoch_id != self._pulse.epoch_id:
            raise EpochEndedError
        seed.plant(window, page.floor)

    def _withheld(self, leased: bool) -> bool:
        if leased:
            self._withheld_at = None
            return False
        now = self._clock()
        if self._withheld_at is None:
            self._withheld_at = now
        return now - self._withheld_at < WITHHELD_SECONDS

    def _publish(self, events: Sequence[Event], cursor: Cursor | None, begun: int | None = None) -> None:
        if self._sent or cursor is None:
            self._whole = False
        if self._sent:
            # A window that was interrupted begins anew: what was published of it is not published again.
            sent = self._sent
            events = [e for e in events if not any(e.seq <= last and end.includes(e.xid) for end, last in sent)]
        self._hub.publish(Batch(tuple(events), cursor, begun), self._clock())
        if cursor is not None:
            self._sent.clear()
            if self._out is not None and (events or not self._whole):
                self._copy(self._out, events, cursor, begun)
            self._whole = True

    def _copy(self, out: Callable[[Copy], None], events: Sequence[Event], cursor: Cursor, begun: int | None) -> None:
        # From where the last copy ended: between that place and this one's there was nothing.
        copied, self._copied = self._copied, cursor
        if copied is not None and begun is not None and copied.epoch == cursor.epoch:
            whole = tuple(events) if self._whole else None
            out(Copy(cursor.epoch, copied.snapshot, cursor.snapshot, begun, whole))

    async def _read_window(self, connection: asyncpg.Connection[Any], place: Cursor) -> int:
        """A window too large for one answer, page by page. Its place is reached with its last page."""
        self._pulse.windows += 1
        found = 0
        snapshot: Snapshot | None = None
        window = eventlog.window(connection, place.snapshot, self.portion, ANSWER_SECONDS)
        last: int | None = None
        too_old = False
        try:
            # Closed here and now, because its transaction must have ended before the connection is used again.
            async with aclosing(window) as pages:
                async for events, end, floor in pages:
                    snapshot = end
                    if too_old := floor is not None and not place.snapshot.covers(floor):
                        break
                    found += len(events)
                    self._publish(events, None)
                    last = events[-1].seq
                    # The sessions' writers must get their turn, or every buffer overflows.
                    await asyncio.sleep(0)
        except BaseException:
            if snapshot is not None and last is not None:
                self._sent.append((snapshot, last))
            raise
        if snapshot is not None:
            begun = (await eventlog.poll(connection, None, 0, ANSWER_SECONDS)).begun
            if too_old:
                self.restart(Cursor(place.epoch, snapshot), "retention", begun)
            else:
                self._publish((), Cursor(place.epoch, snapshot), begun)
        return found
