"""A batch as the leader copies it into the stream, for processes that are not to read the log for each one.

A copy says between which two places its events lie, so that whoever takes it can tell whether it joins on to what he has:
a lost copy, a lost stream or another leader shows as a gap, which is read from the log. Nothing depends on a copy being
there. Pure; parsing trusts nothing and raises CopyError.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from .cursor import Cursor, Snapshot
from .errors import CopyError
from .event import Batch, Event, Op, Owner

MAX_BYTES = 256 << 10
"""Of a copy's text. What is larger is left to the log, like a window that is read in pages."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What was committed between two places."""

    epoch: str
    after: Snapshot
    upto: Snapshot
    begun: int
    """The next transaction id when `upto` was taken, or a later one."""
    events: tuple[Event, ...] | None
    """By seq; None: they are in the log alone."""

    def joined(self, place: Cursor) -> Batch | None:
        """What is new in it for who stands at `place`; None where it does not join on, and the log has to be read.

        One server's snapshots follow each other, so whoever stands between the two has seen part of the events and lacks
        the others.
        """
        here = place.snapshot
        if self.epoch != place.epoch or self.events is None or not here.covers(self.after):
            return None
        if not self.upto.covers(here):
            return None
        events = tuple(event for event in self.events if not here.includes(event.xid))
        return Batch(events, Cursor(self.epoch, self.upto), self.begun)

    def known(self, place: Cursor) -> bool:
        """Whether who stands at `place` has seen all of it."""
        return self.epoch == place.epoch and place.snapshot.covers(self.upto)

    def text(self) -> str:
        """For the stream. A large one says only that there was something."""
        events = None if self.events is None else [_members(event) for event in self.events]
        text = self._with(events)
        return text if len(text) <= MAX_BYTES else self._with(None)

    def _with(self, events: list[list[Any]] | None) -> str:
        return json.dumps([self.epoch, str(self.after), str(self.upto), self.begun, events], separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Copy:
        """From the stream. Raises CopyError."""
        try:
            epoch, after, upto, begun, events = json.loads(text)
            return cls(
                str(epoch),
                Snapshot.parse(after),
                Snapshot.parse(upto),
                int(begun),
                None if events is None else tuple(_event(*members) for members in events),
            )
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CopyError(
                f"The stream holds something that is no copy of ours ({error}). Who else writes to CHANGEFEED_SOURCE?"
            ) from None


def _members(event: Event) -> list[Any]:
    owner, seen = event.owner, event.seen
    return [
        event.seq,
        event.xid,
        event.at.isoformat(),
        event.source,
        event.op,
        event.key,
        None if owner is None else list(owner),
        event.data,
        event.before,
        event.partial,
        None if seen is None else str(seen),
    ]


def _event(
    seq: int,
    xid: int,
    at: str,
    source: str,
    op: Op,
    key: str | None,
    owner: list[str] | None,
    data: str | None,
    before: str | None,
    partial: bool,
    seen: str | None,
) -> Event:
    if op not in get_args(Op):
        raise ValueError(f"{op!r} is no op")
    return Event(
        seq=int(seq),
        xid=int(xid),
        at=datetime.fromisoformat(at),
        source=source,
        op=op,
        key=key,
        owner=None if owner is None else Owner(*owner),
        data=data,
        before=before,
        partial=bool(partial),
        seen=None if seen is None else Snapshot.parse(seen),
    )
