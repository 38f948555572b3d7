"""Owner changes through a parent, remembered for the writes that were in flight meanwhile.

When the owner of a parent row changes, its children's owner changes with it, without an event of theirs: the log then
holds a `rows-changed` for the former owner and one for the new one. A write to a child that was in flight at that moment
resolved its owner before it could see the change; delivered afterwards, it would reach somebody who owns the row no
longer. Such an event becomes `rows-changed` for both. Pure.

How it is known: the change was delivered in a window that ended at a snapshot; a transaction that was running then (in its
xip) may not have seen the change, one that began later has. A writer under repeatable read looks at a snapshot of its own,
which the event then carries. Where it is not certain, the event is converted: a refetch too many harms nobody.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .cursor import Snapshot
from .event import Event, Owner

REMEMBERED = 10_000
"""Owner changes kept; the oldest are forgotten. A writer that is still at it after so many may reach the former owner."""

_REASON = '{"reason": "owner"}'


@dataclass(slots=True)
class _Handover:
    seq: int
    xid: int
    former: Owner
    to: Owner | None
    window: Snapshot | None
    """What could be seen when it was delivered; None while that window is still open."""


class Handovers:
    """The owner changes that this process has delivered."""

    def __init__(self) -> None:
        self._by_source: dict[str, deque[_Handover]] = {}
        self._open: list[_Handover] = []

    def note(self, event: Event, window: Snapshot | None = None) -> None:
        """Remember an owner change, one side of it. `window`: known where it was delivered before we began."""
        if event.owner is None:
            return
        values = event.values()
        other = values.get("other")
        to = None if other is None else Owner(event.owner.kind, str(other))
        handover = _Handover(event.seq, event.xid, event.owner, to, window)
        self._by_source.setdefault(event.source, deque(maxlen=REMEMBERED)).append(handover)
        if window is None:
            self._open.append(handover)

    def settle(self, window: Snapshot) -> None:
        """The window that is being delivered ended at this snapshot."""
        for handover in self._open:
            handover.window = window
        self._open.clear()

    def delivered(self, events: Iterable[Event]) -> Iterator[Event]:
        """A batch on its way to the sessions: owner changes are noted, and what may have missed one is converted."""
        for event in events:
            if event.op == "bulk" and event.owner is not None and event.values().get("reason") == "owner":
                self.note(event)
            yield from self.converted((event,))

    def converted(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, those that may have missed an owner change replaced by `rows-changed` for both owners."""
        for event in events:
            stale = self._stale(event) if self._by_source and event.owner is not None and event.op != "bulk" else None
            if stale is None:
                yield event
                continue
            yield _refetch(event, stale.former)
            if stale.to is not None:
                yield _refetch(event, stale.to)

    def _stale(self, event: Event) -> _Handover | None:
        for handover in reversed(self._by_source.get(event.source, ())):
            if handover.former == event.owner and handover.xid != event.xid and _missed(event, handover):
                return handover
        return None


def _missed(event: Event, handover: _Handover) -> bool:
    if handover.window is None and event.seq < handover.seq:
        return False
    if event.seen is not None:
        return not event.seen.includes(handover.xid)
    if handover.window is None:
        return True
    return event.xid < handover.window.xmax and not handover.window.includes(event.xid)


def _refetch(event: Event, owner: Owner) -> Event:
    return replace(event, op="bulk", key=None, owner=owner, data=_REASON, before=None, partial=False)
