"""Owner changes through a parent, remembered for the writes that were in flight meanwhile.

When the owner of a parent row changes, its children's owner changes with it, without an event of theirs: the log then
holds a `rows-changed` for the former owner and one for the new one. A write to a child that was in flight at that moment
resolved its owner before it could see the change; delivered afterwards, it would reach somebody who owns the row no
longer. Such an event becomes `rows-changed` for both. Pure.

How it is known: the change was delivered in a window that ended at a snapshot; a transaction that was running then may not
have seen the change, one that began later has. Running are those in the snapshot's xip, and whoever took an id beyond its
xmax (which only says which was the last to end) before the window was read. A writer under repeatable read looks at a
snapshot of its own, which the event then carries. Which row was handed over is not known, so every write of the former
owner's to that source is in doubt. Where it is not certain, the event is converted: a refetch too many harms nobody.
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
    source: str
    seq: int
    xid: int
    former: Owner
    to: Owner | None
    window: Snapshot | None
    """What could be seen when it was delivered; None while that window is still open."""
    begun: int = 0
    """Transactions from this one on had not begun then. Not the window's xmax: beyond it there may be running ones."""
    answered: bool = False
    """Whether the event for the new owner, which follows the former one's, has come."""

    def seen_by(self, event: Event) -> bool:
        """Whether this one, and so every one that was delivered before it, had certainly been seen by the writer."""
        if self.window is None:
            return False
        return event.xid >= self.begun if event.seen is None else event.seen.covers(self.window)

    def precedes(self, event: Event, since: Snapshot) -> bool:
        """Whether somebody who has received everything up to `since` may hear of this change before the event."""
        return (
            self.window is None
            or not self.window.includes(event.xid)
            or since.includes(self.xid)
            or self.seq < event.seq
        )


class Handovers:
    """The owner changes that this process has delivered."""

    def __init__(self) -> None:
        self._by_former: dict[tuple[str, Owner], deque[_Handover]] = {}
        self._all: deque[_Handover] = deque()
        self._open: list[_Handover] = []

    def __len__(self) -> int:
        return len(self._all)

    def note(self, event: Event, window: Snapshot | None = None, begun: int | None = None) -> None:
        """Remember an owner change. `window`, `begun`: known where it was delivered before we began, see settle().

        It comes as two events, the former owner's and then the new one's, each of which names the other.
        """
        if event.owner is None:
            return
        other = event.values().get("other")
        to = None if other is None else Owner(event.owner.kind, str(other))
        if to is not None and (theirs := self._by_former.get((event.source, to))):
            given = theirs[-1]
            if not given.answered and (given.xid, given.to) == (event.xid, event.owner):
                given.answered = True
                return
        handover = _Handover(event.source, event.seq, event.xid, event.owner, to, window, _begun(window, begun))
        mine = self._by_former.setdefault((event.source, event.owner), deque())
        if mine and (mine[-1].xid, mine[-1].to, mine[-1].window) == (event.xid, to, window):
            mine[-1].answered = False
            return  # a transaction that hands over many rows says the same thing many times
        mine.append(handover)
        self._all.append(handover)
        if window is None:
            self._open.append(handover)
        if len(self._all) > REMEMBERED:
            self._forget(self._all.popleft())

    def settle(self, window: Snapshot, begun: int | None = None) -> None:
        """The window that is being delivered ended at this snapshot. `begun`: see Batch."""
        for handover in self._open:
            handover.window = window
            handover.begun = _begun(window, begun)
        self._open.clear()

    def delivered(self, events: Iterable[Event]) -> Iterator[Event]:
        """A batch on its way to the sessions: owner changes are noted, and what may have missed one is converted."""
        told: set[tuple[str, Owner, int]] = set()
        for event in events:
            if event.op == "bulk" and event.owner is not None and event.values().get("reason") == "owner":
                self.note(event)
            yield from self._converted(event, None, told)

    def converted(self, events: Iterable[Event], since: Snapshot) -> Iterator[Event]:
        """The same for somebody who has received everything up to `since`, and reads on from the log.

        He may have heard of an owner change, from another process, in an earlier window than the one in which we did.
        """
        told: set[tuple[str, Owner, int]] = set()
        for event in events:
            yield from self._converted(event, since, told)

    def _converted(self, event: Event, since: Snapshot | None, told: set[tuple[str, Owner, int]]) -> Iterator[Event]:
        missed = self._missed(event, since)
        if not missed:
            yield event
            return
        # Of one transaction once: all of it is visible at the same moment.
        for owner in dict.fromkeys((missed[0].former, *(handover.to for handover in missed))):
            if owner is not None and (event.source, owner, event.xid) not in told:
                told.add((event.source, owner, event.xid))
                yield replace(event, op="bulk", key=None, owner=owner, data=_REASON, before=None, partial=False)

    def _missed(self, event: Event, since: Snapshot | None) -> list[_Handover]:
        if not self._all or event.owner is None or event.op == "bulk":
            return []
        missed = []
        for handover in reversed(self._by_former.get((event.source, event.owner), ())):
            if handover.seen_by(event):
                break
            if handover.xid == event.xid or (event.seen is not None and event.seen.includes(handover.xid)):
                continue
            # On its way to the sessions an event always comes after those that have been noted.
            if since is None or handover.precedes(event, since):
                missed.append(handover)
        return missed

    def _forget(self, handover: _Handover) -> None:
        key = (handover.source, handover.former)
        self._by_former[key].popleft()
        if not self._by_former[key]:
            del self._by_former[key]


def _begun(window: Snapshot | None, begun: int | None) -> int:
    return 0 if window is None else max(window.xmax, begun or 0)
