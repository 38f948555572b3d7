"""What waits for one subscriber: bounded, in order, and where it is wished the newest of each row alone.

Events' messages are bounded in number and bytes; whoever is refused has to say what becomes of the rest. Control messages
(pong, error) stand in their place among them, and are bounded apart. Statistics keep the newest of their kind. Knows
nothing of states: that is the session's. Pure.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

from .cursor import Cursor

MAX_CONTROL = 256
"""Control messages that may wait: only a client that asks and never reads reaches it."""


@dataclass(slots=True)
class Item:
    """A message that waits: its type, its text without a cursor, and where it comes from.

    An event's is the same object in every buffer, and is never changed: with one for each, fan-out would spend more on the
    garbage collector than on the messages.
    """

    kind: str
    text: str
    xid: int | None = None
    """The transaction that caused it; None for a control message."""
    cursor: Cursor | None = None
    """The place that is reached with this message, where it ends a batch; of a control message, see Buffer.take()."""
    row: Hashable = None
    """What conflation goes by."""
    at: float | None = None
    """When the change was captured, in Unix seconds of the database's clock; None for what did not come live."""

    size: int = field(init=False)
    """In bytes, as it will be sent."""

    def __post_init__(self) -> None:
        self.size = len(self.text) if self.text.isascii() else len(self.text.encode())

    def whole(self) -> str:
        """The message with its cursor put in. Spliced, because the same text goes to many sessions."""
        return self.text if self.cursor is None else f'{self.text[:-1]},"cursor":"{self.cursor}"}}'


class Buffer:
    """See above."""

    __slots__ = ("_bytes", "_items", "_last", "_max_bytes", "_max_messages", "_number", "conflated", "events")

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.events = 0
        """How many of what waits are events."""
        self.conflated = 0
        """Events that newer ones, which wait, have replaced. Whoever takes those resets this."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._items: dict[Hashable, Item] = {}
        self._number = 0
        self._bytes = 0
        self._last: Hashable = None
        """The key of the last event of a batch that is not complete."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def held(self) -> int:
        """Of what waits, that which nobody has asked for: events, and statistics."""
        return self.events + sum(isinstance(key, str) for key in self._items)

    @property
    def due(self) -> bool:
        """Whether something waits that must come before any newer place: events, and what is told of events."""
        return self.events > 0 or any(item.cursor is not None for item in self._items.values())

    def offer(self, item: Item, *, conflate: bool) -> bool:
        """An event's message, which may replace an older one of its row. False: there is no room."""
        if conflate:
            self._replace(item.row)
        size = item.size
        if self.events >= self._max_messages or self._bytes + size > self._max_bytes:
            return False
        self.events += 1
        self._bytes += size
        self._last = self._add(item.row if conflate else None, item)
        return True

    def settle(self, cursor: Cursor | None) -> None:
        """A batch is complete: its last message, if it still waits, carries the place after it, or none."""
        if self._last is not None:
            if cursor is not None:
                self._items[self._last] = replace(self._items[self._last], cursor=cursor)
            self._last = None

    def push(self, item: Item, *, newest: bool = False) -> bool:
        """A control message. `newest`: it replaces one of its kind that still waits. False: there are too many."""
        if newest:
            self._items.pop(item.kind, None)
        elif len(self._items) - self.events >= MAX_CONTROL:
            return False
        self._add(item.kind if newest else None, item)
        return True

    def withdraw(self, kind: str) -> None:
        """Forget the newest of this kind, if one waits."""
        self._items.pop(kind, None)

    def take(self, place: Cursor) -> tuple[list[Item], Cursor]:
        """Everything, in order, and the place that is reached with it. `place`: the one reached before.

        A control message that carries a place is given the one reached when it is its turn: it may have been pushed
        behind events that wait, and must not lead back to the place before them.
        """
        items = list(self._items.values())
        for item in items:
            if item.cursor is not None and item.xid is None:
                item.cursor = place
            elif item.cursor is not None:
                place = item.cursor
        self.clear()
        return items, place

    def take_answers(self, place: Cursor) -> list[Item]:
        """What somebody has asked for, in order, before the events that wait; `place`: the one reached by now."""
        answers = {key: item for key, item in self._items.items() if item.xid is None and not isinstance(key, str)}
        for key, item in answers.items():
            del self._items[key]
            item.cursor = None if item.cursor is None else place
        return list(answers.values())

    def clear(self) -> None:
        """Forget everything that waits."""
        self._items.clear()
        self.events = self._bytes = 0
        self._last = None

    def drop(self, unwanted: Callable[[int], bool]) -> None:
        """Forget the events of these transactions."""
        self._items = {key: item for key, item in self._items.items() if item.xid is None or not unwanted(item.xid)}
        events = [item for item in self._items.values() if item.xid is not None]
        self.events = len(events)
        self._bytes = sum(item.size for item in events)
        if self._last not in self._items:
            self._last = None

    def drop_all(self) -> None:
        """Forget the events: they will be found in the log, with those that they have replaced."""
        self.drop(lambda _: True)
        self.conflated = 0

    def conflate(self) -> None:
        """Of the events that wait keep the newest of each row."""
        items, self._items = self._items, {}
        for key, item in items.items():
            if item.row is not None:
                self._last = item.row if key == self._last else self._last
                key = item.row
                self._replace(key)
            self._items[key] = item

    def _add(self, key: Hashable, item: Item) -> Hashable:
        if key is None:
            self._number += 1
            key = self._number
        self._items[key] = item
        return key

    def _replace(self, key: Hashable) -> None:
        former = self._items.pop(key, None)
        if former is not None:
            self.conflated += 1
            self.events -= 1
            self._bytes -= former.size


def newest(items: Sequence[Item]) -> list[Item]:
    """Of events in their order the newest of each row, in the order of those. The last one stays the last."""
    found: dict[Hashable, Item] = {}
    for item in items:
        found.pop(item.row, None)
        found[item.row] = item
    return list(found.values())
