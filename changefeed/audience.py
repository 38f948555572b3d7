"""Who is to be told of which numbers, and when each may be told next.

Sessions with the same owners make up one group of a statistic: its numbers are added up and written once for all of them.
Guarantees: nobody is told more often than the statistic's interval allows; a change that comes sooner is told when the
interval is over, and of several only the newest. Pure: the time is passed in.
"""

from collections.abc import Collection, Iterator
from heapq import heappop, heappush

from .event import Owner
from .message import Payload
from .session import Session, State

Scope = Owner | None
"""Whose numbers: an owner's, or everybody's."""


class Group:
    """Everybody who is told the same numbers of one statistic."""

    __slots__ = ("rendered", "scopes", "seats", "topic")

    def __init__(self, topic: str, scopes: frozenset[Scope]) -> None:
        self.topic = topic
        self.scopes = scopes
        self.seats: dict[Session, Seat] = {}
        self.rendered: tuple[object, Payload, str] | None = None
        """What the numbers were when they were last written, the body that they came to, and its message."""


class Seat:
    """One session in one group."""

    __slots__ = ("group", "session", "told", "told_at", "waiting")

    def __init__(self, session: Session, group: Group) -> None:
        self.session = session
        self.group = group
        self.told: object = None
        """The body that was sent last."""
        self.told_at = float("-inf")
        self.waiting = False


class Audience:
    """All groups of one process. `intervals`: by topic, in seconds."""

    def __init__(self, intervals: dict[str, float]) -> None:
        self._intervals = intervals
        self._groups: dict[tuple[str, frozenset[Scope]], Group] = {}
        self._by_scope: dict[tuple[str, Scope], set[Group]] = {}
        self._seats: dict[Session, dict[str, Seat]] = {}
        self._heap: list[tuple[float, int, Seat]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._seats)

    def seat(self, session: Session, topic: str, scopes: frozenset[Scope], now: float) -> bool:
        """The session wants these numbers. They are due to it, once they are known. Returns whether it had others, or none."""
        seat = self._seats.get(session, {}).get(topic)
        if seat is not None and seat.group.scopes == scopes:
            self._put(seat, now)
            return False
        told_at = float("-inf") if seat is None else seat.told_at
        self.unseat(session, topic)
        group = self._groups.get((topic, scopes))
        if group is None:
            group = self._groups[(topic, scopes)] = Group(topic, scopes)
            for scope in scopes:
                self._by_scope.setdefault((topic, scope), set()).add(group)
        seat = group.seats[session] = Seat(session, group)
        seat.told_at = told_at
        self._seats.setdefault(session, {})[topic] = seat
        self._put(seat, now)
        return True

    def unseat(self, session: Session, topic: str) -> None:
        """The session wants these numbers no longer."""
        mine = self._seats.get(session, {})
        seat = mine.pop(topic, None)
        if seat is None:
            return
        if not mine:
            del self._seats[session]
        group = seat.group
        del group.seats[session]
        if not group.seats:
            del self._groups[(topic, group.scopes)]
            for scope in group.scopes:
                groups = self._by_scope[(topic, scope)]
                groups.discard(group)
                if not groups:
                    del self._by_scope[(topic, scope)]

    def wanted(self, topic: str, scope: Scope) -> bool:
        """Whether anybody wants these numbers."""
        return (topic, scope) in self._by_scope

    def stir(self, topic: str, scope: Scope, now: float) -> None:
        """These numbers have changed: whoever wants them is to be told."""
        for group in self._by_scope.get((topic, scope), ()):
            for seat in group.seats.values():
                self._put(seat, now)

    def due(self, now: float) -> Iterator[Seat]:
        """Whoever may be told by now; each once, until something stirs again."""
        while self._heap and self._heap[0][0] <= now:
            seat = heappop(self._heap)[2]
            seat.waiting = False
            # It may have left, or changed its place, while it waited.
            if seat.group.seats.get(seat.session) is seat:
                yield seat

    def next_due(self) -> float | None:
        """When somebody may be told; None: nobody waits."""
        return self._heap[0][0] if self._heap else None

    def gone(self) -> Collection[Session]:
        """Sessions that have ended and still have a seat."""
        return [session for session in self._seats if session.state is State.CLOSED]

    def topics_of(self, session: Session) -> Collection[str]:
        """What the session has a seat at."""
        return list(self._seats.get(session, ()))

    def _put(self, seat: Seat, now: float) -> None:
        if not seat.waiting:
            seat.waiting = True
            self._number += 1
            due = max(now, seat.told_at + self._intervals[seat.group.topic])
            heappush(self._heap, (due, self._number, seat))
