"""A model of what Postgres does for the log: transactions, their ids, what a snapshot sees, and the order of row locks.

A transaction gets its id with its first write. A row that one has changed is locked until it ends, so a second writer waits
(here: is not allowed to write yet). `commit` makes everything visible at once. Snapshots follow each other in time.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Op, Owner

EPOCH = "0123456789abcdef"
ANN, BOB = Owner("user", "ann"), Owner("user", "bob")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def event(
    seq: int = 1,
    xid: int = 10,
    source: str = "public.note",
    op: Op = "update",
    key: str | None = '{"id": 1}',
    owner: Owner | None = ANN,
    data: str | None = '{"id": 1}',
    before: str | None = None,
    partial: bool = False,
    seen: Snapshot | None = None,
) -> Event:
    """An event of which only what matters need be said."""
    return Event(seq, xid, NOON + timedelta(seconds=seq), source, op, key, owner, data, before, partial, seen)


def cursor(xmin: int, xmax: int | None = None, xip: Collection[int] = (), epoch: str = EPOCH) -> Cursor:
    """A place."""
    return Cursor(epoch, Snapshot(xmin, xmin if xmax is None else xmax, frozenset(xip)))


class Transactions:
    """See above."""

    def __init__(self, first_xid: int = 100) -> None:
        self.next_xid = first_xid
        self.next_seq = 1
        self._ended = first_xid - 1
        """The latest that has ended, by its id."""
        self.running: dict[int, list[Event]] = {}
        """What the running transactions have written, by id."""
        self.committed: list[Event] = []
        self._locked: dict[str, int] = {}

    def begin(self) -> int:
        """A transaction, with an id already."""
        xid, self.next_xid = self.next_xid, self.next_xid + 1
        self.running[xid] = []
        return xid

    def may_write(self, xid: int, key: str) -> bool:
        """Whether it need not wait for another one's row lock."""
        return self._locked.get(key, xid) == xid

    def write(self, xid: int, made: Event) -> Event:
        """An event of this transaction's. Its number is taken after the row lock."""
        key = f"{made.source} {made.key}"
        if made.key is not None:
            assert self.may_write(xid, key)
            self._locked[key] = xid
        made = replace(made, seq=self.next_seq, xid=xid, at=NOON + timedelta(seconds=self.next_seq))
        self.next_seq += 1
        self.running[xid].append(made)
        return made

    def commit(self, xid: int) -> None:
        """Visible to every later snapshot."""
        self.committed += self.running[xid]
        self._end(xid)

    def roll_back(self, xid: int) -> None:
        """As if it had never been, but for the numbers that it took."""
        self._end(xid)

    def snapshot(self) -> Snapshot:
        """What a statement sees that begins now. Who took an id after the last one that has ended is not in it."""
        xmax = self._ended + 1
        running = frozenset(xid for xid in self.running if xid < xmax)
        return Snapshot(min(running, default=xmax), xmax, running)

    def cursor(self) -> Cursor:
        """The present as a place."""
        return Cursor(EPOCH, self.snapshot())

    def after(self, place: Cursor, owners: Collection[Owner | None] | None = None) -> Sequence[Event]:
        """What the place could not see and is visible now, in the order in which the relay reads it."""
        found = [
            event
            for event in self.committed
            if not place.snapshot.includes(event.xid) and (owners is None or event.owner in owners)
        ]
        return sorted(found, key=lambda event: event.seq)

    def _end(self, xid: int) -> None:
        del self.running[xid]
        self._ended = max(self._ended, xid)
        self._locked = {key: holder for key, holder in self._locked.items() if holder != xid}
