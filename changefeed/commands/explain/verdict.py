"""Who an event was for, and which sessions got it. Pure.

A session begins at a place of the log and has reached another one; places are snapshots, so each says of any transaction whether
it comes before. What lies between the two was handed to the session's transport, if the session wants it: no record of
single deliveries is needed to know that. Where it wants something else now than then, only what came afterwards is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...cursor import Cursor
from ...event import Event, Owner

Meant = Literal["owner", "everybody", "nobody", "somebody-else", "failed"]
Fate = Literal["sent", "refetch", "before", "not-yet", "ended", "topic", "changed", "epoch", "unknown"]

_FATES: dict[Fate, str] = {
    "sent": "was sent it",
    "refetch": "was told to refetch everything instead",
    "before": "began after it, and had it from the first load",
    "not-yet": "has not been sent it yet: it waits, or is being read from the log",
    "ended": "ended before it",
    "topic": "did not ask for its topic",
    "changed": "asked for other topics then, or was of other owners: whether it was sent it, nobody has kept",
    "epoch": "is of another epoch of the log",
    "unknown": "has not been greeted yet",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whom an event was for, seen from the owner who is asked about."""

    meant: Meant
    sentence: str

    @property
    def sent(self) -> bool:
        """Whether his sessions should have heard of it."""
        return self.meant in ("owner", "everybody")


def verdict(event: Event, owner: Owner) -> Verdict:
    """Of one event."""
    if event.op == "error":
        values = event.values()
        told = f"{values.get('message')} (SQLSTATE {values.get('sqlstate')})"
        return Verdict(
            "failed", f"the capture failed: {told}. Nobody was sent it; whoever may see the table was told to refetch"
        )
    if event.op in ("bulk", "truncate") and event.owner is None:
        return Verdict("everybody", f"everybody who may see the table is told to refetch it: {_why(event)}")
    if event.owner is None:
        return Verdict("nobody", "its owner could not be resolved: the expression gave null, so nobody is sent it")
    if event.owner != owner:
        return Verdict("somebody-else", f"it belongs to {_named(event.owner)}, not to {_named(owner)}")
    if event.op == "bulk":
        return Verdict("owner", f"{_named(owner)} is told to refetch: the owner of a row changed through a parent")
    if event.op == "leave":
        return Verdict("owner", f"{_named(owner)} lost the row, and is told so with its key alone")
    large = "; the row is too large, so only its key is sent" if event.partial else ""
    return Verdict("owner", f"it belongs to {_named(owner)}{large}")


def fate(event: Event, session: Mapping[str, Any], topics: Sequence[str], epoch: str) -> tuple[Fate, str]:
    """What became of an event that was meant for this session. `topics`: those of its table."""
    found = _fate(event, session, topics, epoch)
    sentence = _FATES[found]
    if found == "sent" and session.get("mode") == "state":
        sentence = "was sent it, or a newer one of the same row in its place"
    return found, sentence


def _fate(event: Event, session: Mapping[str, Any], topics: Sequence[str], epoch: str) -> Fate:
    start, changed, place, refetched = (
        _place(session.get(name)) for name in ("start", "changed", "place", "refetched")
    )
    if start is None or place is None:
        return "unknown"
    if epoch not in (start.epoch, place.epoch):
        return "epoch"
    if start.epoch == epoch and start.snapshot.includes(event.xid):
        return "before"
    if changed is not None and changed.epoch == epoch and changed.snapshot.includes(event.xid):
        return "changed"
    wanted = session.get("topics")
    if wanted is not None and not set(wanted) & set(topics):
        return "topic"
    if refetched is not None and refetched.epoch == epoch and refetched.snapshot.includes(event.xid):
        return "refetch"
    if place.epoch == epoch and place.snapshot.includes(event.xid):
        return "sent"
    return "ended" if session.get("ended_at") is not None else "not-yet"


def _place(text: Any) -> Cursor | None:
    return None if text is None else Cursor.parse(text)


def _named(owner: Owner) -> str:
    return f"{owner.kind}:{owner.value}"


def _why(event: Event) -> str:
    if event.op == "truncate":
        return "the table was emptied"
    if event.values().get("reason") == "owner":
        return "owners changed, and nobody can say whose"
    return "one transaction changed too many rows, or the order of its changes could not be told"
