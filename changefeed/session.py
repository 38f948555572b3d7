"""One subscriber's life: what it wants, what waits for it, and how far it has got.

States: LIVE, what is offered waits in the buffer; LAGGING, the session is behind its buffer (it overflowed and was
dropped, or the session has only just come with an old place) and must read on from the log at `position`; REPLAYING, it
is doing so, while live messages gather in the buffer; CLOSED.

| state     | offer         | overflow → | lag     | begin_replay | end_replay            | restart | close  |
|-----------|---------------|------------|---------|--------------|-----------------------|---------|--------|
| LIVE      | buffered      | LAGGING    | LAGGING | refused      | ignored               | LIVE    | CLOSED |
| LAGGING   | ignored (log) | -          | LAGGING | REPLAYING    | stays, from there on  | LIVE    | CLOSED |
| REPLAYING | buffered      | LAGGING    | LAGGING | refused      | LIVE, known ones gone | LIVE    | CLOSED |
| CLOSED    | ignored       | -          | ignored | refused      | ignored               | ignored | CLOSED |

A replay that lag() or restart() has overtaken is over: `reading` says so, and its end is ignored.

Guarantees: the buffer is bounded, nothing is dropped without the state or the count of conflated messages saying so, and
the position never goes backwards except by lag() and restart(). Pure and synchronous: it never awaits a client. Control
messages (pong, error) are not counted as events, but bounded too.
"""

from collections.abc import Callable, Sequence
from enum import Enum

from .buffer import Buffer, Item
from .cursor import Cursor, Snapshot
from .event import Owner
from .messages import Mode

__all__ = ["Item", "Session", "State"]


class State(Enum):
    """See the table above."""

    LIVE = "live"
    LAGGING = "lagging"
    REPLAYING = "replaying"
    CLOSED = "closed"


class Session:
    """One subscriber. `wake` is called when there is something to do for whoever writes to it."""

    __slots__ = (
        "_buffer", "_known", "_reading", "_sent_at", "_wake",
        "admin", "min_interval", "mode", "owners", "position", "state", "topics",
    )  # fmt: skip

    def __init__(
        self,
        *,
        owners: frozenset[Owner],
        admin: bool,
        position: Cursor,
        max_messages: int,
        max_bytes: int,
        wake: Callable[[], None],
        topics: frozenset[str] | None = None,
        mode: Mode = "log",
        min_interval: float = 0.0,
    ) -> None:
        self.owners = owners
        self.admin = admin
        self.state = State.LIVE
        self.position = position
        """The place up to which everything has been handed to the writer."""
        self.topics = topics
        """What it asked for; None: the usual topic of everything."""
        self.mode = mode
        self.min_interval = min_interval
        """Seconds between two deliveries of events, at least."""
        self._buffer = Buffer(max_messages, max_bytes)
        self._wake = wake
        self._known: Snapshot | None = None
        self._reading = False
        self._sent_at = float("-inf")

    def topic_among(self, topics: Sequence[str]) -> str | None:
        """The first of a source's topics that this session wants. One message for each event, never two."""
        if self.topics is None:
            return topics[0]
        for topic in topics:
            if topic in self.topics:
                return topic
        return None

    def offer(self, item: Item, before: Cursor | None) -> bool:
        """An event's message. `before` is the place before the batch; None: it may not be told. Returns whether it waits now."""
        if self.state is not State.LIVE and self.state is not State.REPLAYING:
            return False
        if before is not None:
            self._recall(before)
        if self._known is not None and item.xid is not None and self._known.includes(item.xid):
            return False
        if before is not None and not len(self._buffer) and self._known is None and self.state is State.LIVE:
            self.position = before
        # During a replay nothing is conflated: which of two messages the log has brought is known at its end only.
        conflate = self.mode == "state" and self.state is State.LIVE
        if not self._buffer.offer(item, conflate=conflate):
            self._lag()
            return False
        self._wake()
        return True

    def settle(self, cursor: Cursor, promised: Cursor | None = None) -> None:
        """A batch is complete: its last message carries the place after it; or `promised`, if no newer one may be told."""
        if promised is None:
            self._buffer.settle(cursor)
        else:
            self._buffer.settle(promised if promised.snapshot.covers(self.position.snapshot) else None)
        self._recall(cursor)

    def push(self, kind: str, text: str, cursor: Cursor | None = None, newest: bool = False) -> None:
        """A control message, in its place among the events. `newest`: it replaces one of its kind that still waits.

        Where a `cursor` is given it carries one: the place that is reached when it is taken, which may be another.
        """
        if self.state is State.CLOSED:
            return
        if self._buffer.push(Item(kind, text, cursor=cursor), newest=newest):
            self._wake()
        else:
            self.close()

    def hold(self, now: float) -> float:
        """Seconds for which what waits should gather on: only events and statistics are held, nothing that somebody waits for."""
        if not self.min_interval or len(self._buffer) > self._buffer.held:
            return 0.0
        return max(0.0, self._sent_at + self.min_interval - now)

    def delivered(self, now: float) -> None:
        """Something was delivered, or might as well have been: min_interval counts from here."""
        self._sent_at = now

    def take(self, now: float) -> list[Item]:
        """Everything that waits, in order. Whoever takes it must send it."""
        if self._buffer.held:
            self._sent_at = now
        items, place = self._buffer.take(self.position)
        if self.state is State.LIVE:
            self.position = place
        return items

    def take_answers(self) -> list[Item]:
        """The control messages alone, in order: what somebody waits for. Whoever takes them must send them."""
        return self._buffer.take_answers(self.position)

    def lag(self, position: Cursor) -> None:
        """Go on from `position`, by reading the log: what waits is dropped, for it will be found there."""
        if self.state is not State.CLOSED:
            self._reading = False
            self.position = position
            self._lag()

    def reread(self) -> None:
        """What it may see has changed, or what it wants: what waits or is being read is looked for once more in the log.

        Otherwise what was not offered so far, and lies behind the place that was told last, would never come.
        """
        if self.state is not State.LIVE or self._buffer.due:
            self.lag(self.position)

    def withdraw(self, kind: str) -> None:
        """Of messages that replace each other, one that still waits is no longer for this session."""
        self._buffer.withdraw(kind)

    def begin_replay(self) -> Cursor:
        """Start to gather live messages. Returns the place to read the log from."""
        self._expect(State.LAGGING)
        self.state = State.REPLAYING
        self._reading = True
        self._known = None
        return self.position

    @property
    def reading(self) -> bool:
        """Whether the replay that was begun is still wanted."""
        return self._reading

    def end_replay(self, position: Cursor) -> None:
        """Everything up to `position` was sent from the log. What was gathered meanwhile and is known goes.

        Where the buffer overflowed once more, the session still lags, but from here.
        """
        if not self._reading:
            return
        self._reading = False
        # What was read from the log may have gone further than the hub, whose memory has now been read.
        position = position if position.snapshot.covers(self.position.snapshot) else self.position
        self.position = position
        if self.state is State.REPLAYING:
            self.state = State.LIVE
            self._known = position.snapshot
            self._buffer.drop(position.snapshot.includes)
            if self.mode == "state":
                self._buffer.conflate()

    def restart(self, position: Cursor) -> None:
        """Forget what waits and go on from `position`: the client is told to refetch everything."""
        if self.state is not State.CLOSED:
            self._buffer.drop_all()
            self.state = State.LIVE
            self._reading = False
            self._known = None
            self.position = position

    def close(self) -> None:
        """The end: nothing is kept, nothing more is taken."""
        self.state = State.CLOSED
        self._reading = False
        self._buffer.clear()
        self._wake()

    @property
    def conflated(self) -> int:
        """Messages that newer ones, which wait, have replaced. Whoever takes those resets this."""
        return self._buffer.conflated

    @conflated.setter
    def conflated(self, count: int) -> None:
        self._buffer.conflated = count

    @property
    def waiting(self) -> int:
        """How many messages take() would give."""
        return len(self._buffer)

    def caught_up_with(self, cursor: Cursor) -> Cursor:
        """The newest place that may be told to this session: `cursor` (the hub's), if nothing waits before it."""
        self._recall(cursor)
        if self.state is State.LIVE and not self._buffer.due and self._known is None:
            self.position = cursor
        return self.position

    def _lag(self) -> None:
        self._buffer.drop_all()
        self.state = State.LAGGING
        self._wake()

    def _recall(self, cursor: Cursor) -> None:
        # What the replay has brought is offered no more once the hub is beyond it. Kept longer, it would hold the
        # place of a session that nothing is offered to.
        if self._known is not None and cursor.snapshot.covers(self._known):
            self._known = None

    def _expect(self, *states: State) -> None:
        if self.state not in states:
            wanted = " or ".join(state.value for state in states)
            raise RuntimeError(f"the session is {self.state.value}, expected {wanted}")
