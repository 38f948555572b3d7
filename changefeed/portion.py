"""How many events are read from the log at a time: as many as fit into a few MiB, judging by the last ones. Pure.

An event may take 100 bytes or 128 KiB, and whoever reads a page cannot tell before. Too many large ones take all the memory, or
longer than the server is waited for, and then again and again. Guarantees: whatever the events are like, a page that could
not be read in time is followed by a smaller one, down to a single event.
"""

from collections.abc import Iterator, Sequence

from .event import Event
from .window import size

FIRST_ROWS = 500
"""Events on a page of which nothing is known."""
PAGE_BYTES = 4 << 20
"""What the events of a page take, about."""


class Portion:
    """The size of one reader's pages."""

    __slots__ = ("_cap", "_most", "rows")

    def __init__(self, most: int) -> None:
        """`most`: rows in a page."""
        self._most = self._cap = most
        self.rows = min(most, FIRST_ROWS)
        """How many to ask for next."""

    def had(self, events: Sequence[Event], *, last: bool) -> None:
        """These have come. `last`: there are no more for now, and of what comes then nothing is known."""
        if last:
            self._cap = min(self._most, 2 * self._cap)
            largest = min(self._cap, FIRST_ROWS)
        else:
            # No more than twice as many, because the next ones may be larger.
            largest = min(self._cap, 2 * self.rows)
        fitting = PAGE_BYTES * len(events) // sum(map(size, events)) if events else largest
        self.rows = max(1, min(fitting, largest))

    def late(self) -> None:
        """They could not be read in time. Until all has been read there are no more of them: whoever begins anew must get on."""
        self.rows = self._cap = max(1, self.rows // 4)


def parts(events: Sequence[Event], most: int) -> Iterator[Sequence[Event]]:
    """Events that are in memory in pages of the same kind, `most` rows in each; one page at least."""
    first = taken = 0
    for number, event in enumerate(events):
        taken += size(event)
        if number > first and (number - first >= most or taken > PAGE_BYTES):
            yield events[first:number]
            first, taken = number, size(event)
    yield events[first:]
