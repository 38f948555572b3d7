"""One subscriber's life: what it wants, what waits for it, and how far it has got.

States: LIVE, what is offered waits in the buffer; LAGGING, the buffer overflowed and was dropped, and the session must
read on from the log at `position`; REPLAYING, it is doing so, while live messages gather in the buffer again; CLOSED.

| state     | offer                      | overflow → | begin_replay | end_replay            | close  |
|-----------|----------------------------|------------|--------------|-----------------------|--------|
| LIVE      | buffered                   | LAGGING    | refused      | refused               | CLOSED |
| LAGGING   | ignored, the log has it    | –          | REPLAYING    | refused               | CLOSED |
| REPLAYING | buffered                   | LAGGING    | refused      | LIVE, known ones gone | CLOSED |
| CLOSED    | ignored                    | –          | refused      | ignored               | CLOSED |

Guarantees: the buffer is bounded, nothing is dropped without the state saying so, and the position never goes backwards.
Pure and synchronous: it never awaits a client. Control messages (pong, error) are not counted as events, but bounded too.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .cursor import Cursor, Snapshot
from .event import Owner

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
    """A message that waits: its text without a cursor, and where it comes from."""

    text: str
    xid: int | None
    """The transaction that caused it; None for a control message."""
    cursor: Cursor | None = None


def with_cursor(text: str, cursor: Cursor | None) -> str:
    """The message with its cursor put in. Spliced, because the same text goes to many sessions."""
    return text if cursor is None else f'{text[:-1]},"cursor":"{cursor}"}}'


class Session:
    """One subscriber. `wake` is called when there is something to do for whoever writes to it."""

    def __init__(
        self,
        *,
        owners: frozenset[Owner],
        admin: bool,
        position: Cursor,
        max_messages: int,
        max_bytes: int,
        wake: Callable[[], None],
    ) -> None:
        self.owners = owners
        self.admin = admin
        self.state = State.LIVE
        self.position = position
        """The place up to which everything has been handed to the writer."""
        self.topics: frozenset[str] | None = None
        """What it asked for; None: the usual topic of everything."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._wake = wake
        self._items: deque[Item] = deque()
        self._events = 0
        self._bytes = 0
        self._last: Item | None = None
        self._known: Snapshot | None = None

    def topic_among(self, topics: Sequence[str]) -> str | None:
        """The first of a source's topics that this session wants. One message for each event, never two."""
        if self.topics is None:
            return topics[0]
        for topic in topics:
            if topic in self.topics:
                return topic
        return None

    def offer(self, text: str, xid: int, before: Cursor) -> bool:
        """An event's message. `before` is the place before the batch. Returns whether it waits now."""
        if self.state not in (State.LIVE, State.REPLAYING):
            return False
        if self._known is not None and self._known.includes(xid):
            return False
        if self._events == 0 and self._known is None and self.state is State.LIVE:
            self.position = before
        if self._events >= self._max_messages or self._bytes + len(text) > self._max_bytes:
            self._drop_events(lambda item: item.xid is not None)
            self.state = State.LAGGING
            self._wake()
            return False
        item = Item(text, xid)
        self._items.append(item)
        self._last = item
        self._events += 1
        self._bytes += len(text)
        self._wake()
        return True

    def settle(self, cursor: Cursor) -> None:
        """A batch is complete: its last message carries the place after it."""
        if self._last is not None:
            self._last.cursor = cursor
            self._last = None
        if self._known is not None and cursor.snapshot.covers(self._known):
            self._known = None

    def push(self, text: str) -> None:
        """A control message, in its place among the events."""
        if self.state is State.CLOSED:
            return
        if len(self._items) - self._events >= MAX_CONTROL:
            self.close()
            return
        self._items.append(Item(text, None))
        self._wake()

    def take(self) -> list[str]:
        """Everything that waits, in order. Whoever takes it must send it."""
        texts = []
        for item in self._items:
            if item.cursor is not None:
                self.position = item.cursor
            texts.append(with_cursor(item.text, item.cursor))
        self._items.clear()
        self._events = self._bytes = 0
        self._last = None
        return texts

    def begin_replay(self) -> Cursor:
        """Start to gather live messages again. Returns the place to read the log from."""
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
            self._drop_events(lambda item: item.xid is not None and position.snapshot.includes(item.xid))

    def restart(self, position: Cursor) -> None:
        """Forget what waits and go on from `position`: the client was told to refetch everything."""
        if self.state is not State.CLOSED:
            self._drop_events(lambda item: item.xid is not None)
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
    def waiting(self) -> bool:
        """Whether take() would give anything."""
        return bool(self._items)

    def caught_up_with(self, cursor: Cursor) -> Cursor:
        """The newest place that may be told to an idle session: `cursor` (the hub's), if nothing waits for it."""
        if self.state is State.LIVE and not self._events and self._known is None:
            self.position = cursor
        return self.position

    def _drop_events(self, unwanted: Callable[[Item], bool]) -> None:
        self._fill(item for item in self._items if not unwanted(item))

    def _fill(self, items: Iterable[Item]) -> None:
        self._items = deque(items)
        events = [item for item in self._items if item.xid is not None]
        self._events = len(events)
        self._bytes = sum(len(item.text) for item in events)
        if self._last not in events:
            self._last = None

    def _expect(self, *states: State) -> None:
        if self.state not in states:
            wanted = " or ".join(state.value for state in states)
            raise RuntimeError(f"the session is {self.state.value}, expected {wanted}")
