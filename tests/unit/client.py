"""A client that keeps what it was sent and the latest place it was told, beside a log of which everything is known."""

from collections.abc import Collection, Sequence

from changefeed.cursor import Cursor
from changefeed.event import Event
from changefeed.session import Item
from tests.unit.transactions import Transactions


class Client:
    """Each message's text begins with the number of its event."""

    def __init__(self, log: Transactions, place: Cursor, state_mode: bool) -> None:
        self.received: list[int] = []
        self._refetched: set[int] = set()
        self._log = log
        self._state_mode = state_mode
        self._forgiven = place
        """What this place has seen the client has never missed, or has refetched."""
        self._places = [place]
        """What it was told, the latest last: where it goes back to one, it forgets those after it."""

    def event(self, seq: int) -> Event:
        return next(made for made in self._log.committed if made.seq == seq)

    def takes(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.xid is not None:
                self.receives(int(item.text.strip(".")))
            if item.cursor is not None:
                self.stores(item.cursor)

    def receives(self, seq: int) -> None:
        self.received.append(seq)
        if self.event(seq).key is None:
            # It refetches now, and so finds what every other one was about.
            self._refetched |= {made.seq for made in self._log.committed if made.key is None}

    def stores(self, place: Cursor) -> None:
        self._places.append(place)
        self.has_everything_up_to(place)

    def goes_back(self, back: int) -> Cursor:
        del self._places[len(self._places) - min(back, len(self._places) - 1) :]
        return self._places[-1]

    def refetches(self, place: Cursor) -> None:
        self._forgiven = place
        self._places = [place]

    def has_everything_up_to(self, place: Cursor) -> None:
        # In state mode a later message of the row may stand for one: it was received, or comes after the place.
        later = [made.seq for made in self._log.committed if not place.snapshot.includes(made.xid)]
        for made in self._log.committed:
            if place.snapshot.includes(made.xid):
                assert not self.lacks(made, later, received=made.seq in self.received), f"{place} promises {made}"

    def lacks(self, made: Event, waiting: Collection[int], received: bool | None = None) -> bool:
        """Whether it has neither received nor refetched this, nor has or awaits what replaces it."""
        if received is None:
            received = made.seq in self.received or made.seq in waiting
        if received or made.seq in self._refetched or self._forgiven.snapshot.includes(made.xid):
            return False
        if made.key is None:
            return not self._state_mode or not any(self.event(seq).key is None for seq in waiting)
        return not self._state_mode or not any(
            newer.seq > made.seq and newer.key == made.key and (newer.seq in self.received or newer.seq in waiting)
            for newer in self._log.committed
        )

    def got_each_row_in_order(self) -> bool:
        """Repeats aside, which it knows by their ids."""
        newest: dict[str | None, int] = {}
        for seq in dict.fromkeys(self.received):
            key = self.event(seq).key
            if key is not None and newest.get(key, 0) > seq:
                return False
            newest[key] = seq
        return True

    def has_everything_and_the_newest_last(self, rows: Sequence[str | None]) -> None:
        assert not any(self.lacks(made, ()) for made in self._log.committed)
        for row in rows:
            # Of refetches, which many write at once, none is the newest.
            committed = [made for made in self._log.committed if row is not None and made.key == row]
            received = [seq for seq in self.received if self.event(seq).key == row]
            if received and committed and not self._forgiven.snapshot.includes(committed[-1].xid):
                last = received[-1] if self._state_mode else max(received)
                assert last == committed[-1].seq
