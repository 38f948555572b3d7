"""One subscriber's life: what it wants, what waits for it, and how far it has got.

States: LIVE, what is offered waits in the buffer; LAGGING, the session is behind its buffer (it overflowed and was
dropped, or the session has only just come with an old place) and must read on from the log at `position`; REPLAYING, it
is doing so, while live messages gather in the buffer; CLOSED.

| state     | offer                      | overflow → | lag     | begin_replay | end_replay            | close  |
|-----------|----------------------------|------------|---------|--------------|-----------------------|--------|
| LIVE      | buffered                   | LAGGING    | LAGGING | refused      | refused               | CLOSED |
| LAGGING   | ignored, the log has it    | -          | LAGGING | REPLAYING    | stays, from there on  | CLOSED |
| REPLAYING | buffered                   | LAGGING    | LAGGING | refused      | LIVE, known ones gone | CLOSED |
| CLOSED    | ignored                    | -          | ignored | refused      | ignored               | CLOSED |

Guarantees: the buffer is bounded, nothing is dropped without the state or the count of conflated messages saying so, and
the position never goes backwards except by lag(). Pure and synchronous: it never awaits a client. Control messages
(pong, error) are not counted as events, but bounded too.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

from .cursor import Cursor, Snapshot
from .event import Owner
from .messages import Mode

MAX_CONTROL = 256
"""Control messages that may wait: only a client that asks and never reads reaches it."""


class State(Enum):
    """See the table above."""

    LIVE = "live"
    LAGGING = "lagging"
    REPLAYING = "replaying"
    CLOSED = "closed"


@dataclass(slots=True)
class Item:
    """A message that waits: its type, its text without a cursor, and where it comes from."""

    kind: str
    text: str
    xid: int | None = None
    """The transaction that caused it; None for a control message."""
    cursor: Cursor | None = None
    """The place that is reached with this message, where it ends a batch."""

    def whole(self) -> str:
        """The message with its cursor put in. Spliced, because the same text goes to many sessions."""
        return self.text if self.cursor is None else f'{self.text[:-1]},"cursor":"{self.cursor}"}}'


class Session:
    """One subscriber. `wake` is called when there is something to do for whoever writes to it."""

    __slots__ = (
        "_bytes",
        "_events",
        "_items",
        "_known",
        "_last",
        "_max_bytes",
        "_max_messages",
        "_number",
        "_sent_at",
        "_wake",
        "admin",
        "conflated",
        "min_interval",
        "mode",
        "owners",
        "position",
        "state",
        "topics",
    )

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
        self.conflated = 0
        """Messages that newer ones have replaced, since whoever writes last reset this."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._wake = wake
        self._items: dict[Hashable, Item] = {}
        self._number = 0
        self._events = 0
        self._bytes = 0
        self._last: Item | None = None
        self._known: Snapshot | None = None
        self._sent_at = float("-inf")

    def topic_among(self, topics: Sequence[str]) -> str | None:
        """The first of a source's topics that this session wants. One message for each event, never two."""
        if self.topics is None:
            return topics[0]
        for topic in topics:
            if topic in self.topics:
                return topic
        return None

    def offer(self, kind: str, text: str, xid: int, row: Hashable, before: Cursor) -> bool:
        """An event's message. `before` is the place before the batch, `row` what conflation goes by.

        Returns whether it waits now.
        """
        if self.state is not State.LIVE and self.state is not State.REPLAYING:
            return False
        if self._known is not None and self._known.includes(xid):
            return False
        if self._events == 0 and self._known is None and self.state is State.LIVE:
            self.position = before
        if self.mode == "state" and (former := self._items.pop(row, None)) is not None:
            self.conflated += 1
            self._events -= 1
            self._bytes -= len(former.text)
        if self._events >= self._max_messages or self._bytes + len(text) > self._max_bytes:
            self._lag()
            return False
        item = Item(kind, text, xid)
        self._add(row if self.mode == "state" else None, item)
        self._last = item
        self._events += 1
        self._bytes += len(text)
        return True

    def settle(self, cursor: Cursor) -> None:
        """A batch is complete: its last message carries the place after it."""
        if self._last is not None:
            self._last.cursor = cursor
            self._last = None
        if self._known is not None and cursor.snapshot.covers(self._known):
            self._known = None

    def push(self, kind: str, text: str, cursor: Cursor | None = None, newest: bool = False) -> None:
        """A control message, in its place among the events. `newest`: it replaces one of its kind that still waits."""
        if self.state is State.CLOSED:
            return
        if newest:
            self._items.pop(kind, None)
        elif len(self._items) - self._events >= MAX_CONTROL:
            self.close()
            return
        self._add(kind if newest else None, Item(kind, text, cursor=cursor))

    def hold(self, now: float) -> float:
        """Seconds for which what waits should gather on: only events and statistics are held, nothing that somebody waits for."""
        if not self.min_interval or len(self._items) > self._held():
            return 0.0
        return max(0.0, self._sent_at + self.min_interval - now)

    def take(self, now: float) -> list[Item]:
        """Everything that waits, in order. Whoever takes it must send it."""
        items = list(self._items.values())
        for item in items:
            if item.cursor is not None and self.state is State.LIVE:
                self.position = item.cursor
        if self._held():
            self._sent_at = now
        self._items.clear()
        self._events = self._bytes = 0
        self._last = None
        return items

    def take_answers(self) -> list[Item]:
        """The control messages alone, in order: what somebody waits for. Whoever takes them must send them."""
        answers = {key: item for key, item in self._items.items() if item.xid is None and not isinstance(key, str)}
        for key in answers:
            del self._items[key]
        return list(answers.values())

    def lag(self, position: Cursor) -> None:
        """Go on from `position`, by reading the log: what waits is dropped, for it will be found there."""
        if self.state is not State.CLOSED:
            self.position = position
            self._lag()

    def begin_replay(self) -> Cursor:
        """Start to gather live messages. Returns the place to read the log from."""
        self._expect(State.LAGGING)
        self.state = State.REPLAYING
        self._known = None
        return self.position

    def end_replay(self, position: Cursor) -> None:
        """Everything up to `position` was sent from the log. What was gathered meanwhile and is known goes.

        Where the buffer overflowed once more, the session still lags, but from here.
        """
        if self.state is State.CLOSED:
            return
        self._expect(State.REPLAYING, State.LAGGING)
        self.position = position
        if self.state is State.REPLAYING:
            self.state = State.LIVE
            self._known = position.snapshot
            self._drop_events(position.snapshot.includes)

    def restart(self, position: Cursor) -> None:
        """Forget what waits and go on from `position`: the client is told to refetch everything."""
        if self.state is not State.CLOSED:
            self._drop_events(lambda _: True)
            self.state = State.LIVE
            self._known = None
            self.position = position

    def close(self) -> None:
        """The end: nothing is kept, nothing more is taken."""
        self.state = State.CLOSED
        self._items.clear()
        self._events = self._bytes = 0
        self._last = None
        self._wake()

    @property
    def waiting(self) -> int:
        """How many messages take() would give."""
        return len(self._items)

    def caught_up_with(self, cursor: Cursor) -> Cursor:
        """The newest place that may be told to this session: `cursor` (the hub's), if nothing waits before it."""
        if self.state is State.LIVE and not self._events and self._known is None:
            self.position = cursor
        return self.position

    def _add(self, key: Hashable | None, item: Item) -> None:
        if key is None:
            self._number += 1
            key = self._number
        self._items[key] = item
        self._wake()

    def _held(self) -> int:
        """Items that min_interval holds: events, and what is replaced by its newest."""
        return self._events + sum(isinstance(key, str) for key in self._items)

    def _lag(self) -> None:
        self._drop_events(lambda _: True)
        self.state = State.LAGGING
        self._wake()

    def _drop_events(self, unwanted: Callable[[int], bool]) -> None:
        self._items = {key: item for key, item in self._items.items() if item.xid is None or not unwanted(item.xid)}
        events = [item for item in self._items.values() if item.xid is not None]
        self._events = len(events)
        self._bytes = sum(len(item.text) for item in events)
        if self._last is not None and not any(item is self._last for item in events):
            self._last = None

    def _expect(self, *states: State) -> None:
        if self.state not in states:
            wanted = " or ".join(state.value for state in states)
            raise RuntimeError(f"the session is {self.state.value}, expected {wanted}")
