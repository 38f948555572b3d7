"""What a window in memory begins with: the newest part of the log, gathered from the newest transaction back.

A process that starts has seen nothing, and yet everybody who was connected before comes back to it, each with the place of
a moment ago. So its window begins as if it had read the log for a while. Guarantees: what the window then answers, it
answers as the log would, whole and by seq; it reaches back as far as the window's own limits and the log's floor allow.
Pure.

It begins at a place that nobody was ever given: everything below some transaction id that has ended. Whoever was still
running then, and is running still, has not been seen by it, so that a long transaction turns nobody away.
"""

from collections.abc import Iterable, Iterator

from .cursor import Cursor, Snapshot
from .event import Event
from .window import Window, size

BATCHES = 25
"""Parts in which a window that is full forgets what it began with."""


class Seed:
    """The log as it is at `place`, as much of it as fits."""

    def __init__(self, place: Cursor, max_events: int, max_bytes: int) -> None:
        self._place = place
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: list[Event] = []
        self._bytes = 0
        self._from = 0
        """The first transaction id from which on every event is here; 0: all that the log has."""

    def gather(self, events: Iterable[Event]) -> bool:
        """More of what the place could see, the newest transactions first. Returns whether there is room for older ones.

        Where there is room after the last ones, they are taken for the end of the log.
        """
        for event in events:
            self._events.append(event)
            self._bytes += size(event)
            if len(self._events) > self._max_events or self._bytes > self._max_bytes:
                self._leave_out(event.xid)
                return False
        return True

    def plant(self, window: Window, floor: Snapshot | None) -> None:
        """Let the window begin with it. `floor`: the log's, read when everything was gathered, or later."""
        running = self._place.snapshot.xip
        start = Snapshot.below(self._from, running)
        if floor is not None:
            start = start.joined(floor)
        window.restart(Cursor(self._place.epoch, start))
        for events, newest in self._batches():
            end = start.joined(Snapshot.below(newest + 1, running))
            window.add(events, Cursor(self._place.epoch, end))
        window.seeded = True

    def _batches(self) -> Iterator[tuple[list[Event], int]]:
        """The events by seq, in parts, each with the newest transaction that is in it or in one before it."""
        # A row's lock made its second writer wait for the first, so over everything that can be seen at one moment seq is
        # the order of each row's changes.
        events = sorted(self._events, key=lambda event: event.seq)
        rows = max(1, len(events) // BATCHES)
        newest = 0
        for first in range(0, len(events), rows):
            batch = events[first : first + rows]
            newest = max(newest, *(event.xid for event in batch))
            yield batch, newest

    def _leave_out(self, xid: int) -> None:
        """A transaction of which not everything has a place here."""
        while self._events and self._events[-1].xid == xid:
            self._bytes -= size(self._events.pop())
        self._from = xid + 1
