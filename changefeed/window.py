"""The newest part of the log, in memory: what answers a storm of reconnects without a query for each.

Holds whole batches, newest last, and forgets whole batches, oldest first, when there are too many events or bytes.
Guarantees: an answer is complete or None, never partial. Order is the order of publication: windows of the log follow
each other in time, and inside one of them `seq` is per-row order. Pure.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from .cursor import Cursor
from .event import Event, Owner

_ROW_BYTES = 400
"""What an event takes beside its texts, about."""


@dataclass(slots=True)
class _Batch:
    last: int
    """The number after its last event."""
    cursor: Cursor


class Window:
    """Events by number, and by owner. Numbers count everything ever added, so that they never repeat."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self._events: deque[Event] = deque()
        self._by_owner: dict[Owner | None, deque[tuple[int, Event]]] = {}
        self._batches: deque[_Batch] = deque()
        self._first = 0
        self._bytes = 0
        self._start: Cursor | None = None
        self._overflown = False
        self.seeded = False
        """Whether it begins with what the log holds. One that had to be emptied since does not."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def bytes(self) -> int:
        """What the events take, about."""
        return self._bytes

    def restart(self, cursor: Cursor) -> None:
        """Forget everything: what comes from now on comes after `cursor`."""
        self._clear()
        self._start = cursor
        self._overflown = self.seeded = False

    def add(self, events: Collection[Event], cursor: Cursor | None) -> None:
        """A batch, or a page of one: the last page brings the place after it."""
        if not self._overflown:
            for event in events:
                self._append(event)
            # An unfinished batch cannot be forgotten in part, and there may be no older one to make room.
            while self._too_much() and self._batches:
                self._forget_oldest()
            if self._too_much() and cursor is None:
                self._clear()
                self._overflown = True
        if cursor is None:
            return
        if self._overflown or self._too_much():
            self.restart(cursor)
        # An empty batch needs no entry: the place before it serves as well, and to move that on would turn away whoever
        # comes back with the place of an hour ago to a database in which nothing has happened since.
        elif self._first + len(self._events) != self._end():
            self._batches.append(_Batch(self._first + len(self._events), cursor))

    def after(self, cursor: Cursor, owners: Collection[Owner]) -> list[Event] | None:
        """What `cursor` has not seen of these owners and of nobody in particular, in order; None: not all of it is here."""
        start = self._start
        if (
            start is None
            or self._overflown
            or start.epoch != cursor.epoch
            or not cursor.snapshot.covers(start.snapshot)
        ):
            return None
        seen = bisect_left(self._batches, x=True, key=lambda batch: not cursor.snapshot.covers(batch.cursor.snapshot))
        first = self._batches[seen - 1].last if seen else self._first
        found: list[tuple[int, Event]] = []
        for owner in {None, *owners}:
            for number, event in reversed(self._by_owner.get(owner, ())):
                if number < first:
                    break
                if not cursor.snapshot.includes(event.xid):
                    found.append((number, event))
        found.sort(key=lambda pair: pair[0])
        return [event for _, event in found]

    def _end(self) -> int:
        return self._batches[-1].last if self._batches else self._first

    def _too_much(self) -> bool:
        return len(self._events) > self.max_events or self._bytes > self.max_bytes

    def _append(self, event: Event) -> None:
        number = self._first + len(self._events)
        self._events.append(event)
        self._bytes += size(event)
        # Without an owner only what says "refetch" is for somebody.
        if event.owner is not None or event.op in ("bulk", "truncate", "error"):
            self._by_owner.setdefault(event.owner, deque()).append((number, event))

    def _forget_oldest(self) -> None:
        batch = self._batches.popleft()
        while self._first < batch.last:
            event = self._events.popleft()
            self._bytes -= size(event)
            mine = self._by_owner.get(event.owner)
            if mine and mine[0][0] == self._first:
                mine.popleft()
                if not mine:
                    del self._by_owner[event.owner]
            self._first += 1
        self._start = batch.cursor

    def _clear(self) -> None:
        self._first += len(self._events)
        self._events.clear()
        self._by_owner.clear()
        self._batches.clear()
        self._bytes = 0


def size(event: Event) -> int:
    """What an event takes, about."""
    return _ROW_BYTES + len(event.key or "") + len(event.data or "") + len(event.before or "")
