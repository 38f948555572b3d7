"""Owner → sessions, in this process: one event, many subscribers.

Guarantees: an event with an owner is offered to sessions of that very owner (kind and value) and to nobody else; one
without an owner to nobody, unless it says "refetch" (bulk, truncate), which names no row. A message is made at most once
for each topic, and only if somebody is connected who may see it. Fan-out is a synchronous loop and awaits nobody. Pure:
the time is passed in.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from .cursor import Cursor
from .event import Batch, Event, Owner
from .handover import Handovers
from .mapping import EventMapping
from .message import rfc3339
from .messages import Resync, ResyncData, ResyncReason
from .session import Item, Session, State
from .window import Window

CAPTURE_ERROR_PAUSE = 10.0
"""Seconds between two resyncs that capture errors of one source may cause."""
SPREAD_MS_PER_SESSION = 5
MAX_SPREAD_MS = 30_000


class Tap(Protocol):
    """Whoever in this process wants to hear of every event: statistics, `changefeed tail`. Must not raise, nor wait."""

    def published(self, events: Sequence[Event], cursor: Cursor | None) -> None:
        """A batch, or a page of one; the last page brings the place after it."""

    def restarted(self, cursor: Cursor) -> None:
        """Events are missing: what was derived from them must be made anew, from `cursor` on."""


class Hub:
    """The sessions of one process, and the place in the log up to which they have been served."""

    def __init__(self, mapping: EventMapping, window: Window) -> None:
        self.mapping = mapping
        self.window = window
        self.handovers = Handovers()
        self.cursor: Cursor | None = None
        """None until the relay has found its place."""
        self.began: Cursor | None = None
        """The first place of this epoch that is known here: a snapshot that does not cover it may be of another one."""
        self.delivered: dict[str, int] = {}
        """Messages handed to sessions since the start, by type."""
        self.resyncs: dict[str, int] = {}
        """Resyncs since the start, by reason."""
        self.conflated = 0
        """Messages since the start that newer ones have replaced before they were sent."""
        self.capture_errors: dict[str, int] = {}
        """Failures of the capture that the log has brought since the start, by source."""
        self.unmade = 0
        """Events since the start of which no message could be made; their sources were told to refetch."""
        self.taps: set[Tap] = set()
        self._sessions: set[Session] = set()
        self._by_owner: dict[Owner, set[Session]] = {}
        self._touched: set[Session] = set()
        """Sessions that were offered something of a batch that is not complete yet."""
        self._incomplete = False
        """Whether such a batch has begun: part of what comes after the place has been published."""
        self._resynced: dict[str, float] = {}
        self._owed: dict[str, Cursor] = {}
        """Sources whose capture has failed, which nobody has been told yet, the oldest first: the place before that.

        It is the newest that anybody may be told meanwhile: whoever is cut off then comes back with it, to whichever
        process, and reads the failure in the log.
        """

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def sessions(self) -> Collection[Session]:
        """Whoever is connected."""
        return self._sessions

    @property
    def owners(self) -> Collection[Owner]:
        """The owners who are connected."""
        return self._by_owner.keys()

    def add(self, session: Session) -> None:
        """From now on the session is offered what it may see."""
        self._sessions.add(session)
        for owner in session.owners:
            self._by_owner.setdefault(owner, set()).add(session)
        if self._incomplete:
            # It was not offered the pages that have gone by, and the place after the last one promises them all.
            session.lag(session.position)

    def remove(self, session: Session) -> None:
        """Forget the session. One that is not there is no error."""
        self._sessions.discard(session)
        for owner in session.owners:
            mine = self._by_owner.get(owner)
            if mine is not None:
                mine.discard(session)
                if not mine:
                    del self._by_owner[owner]

    def begin(self, cursor: Cursor, begun: int | None = None) -> None:
        """The first place: nobody has missed anything. `begun`: see Batch."""
        if self.cursor is not None and self.cursor.epoch == cursor.epoch:
            self.handovers.settle(cursor.snapshot, begun)
        else:
            # Transaction ids of another epoch mean others.
            self.handovers = Handovers()
        self.cursor = self.began = cursor
        self.window.restart(cursor)
        self._touched.clear()
        self._incomplete = False
        self._owed.clear()

    def publish(self, batch: Batch, now: float) -> None:
        """Offer each event to whoever may see it. `now`: seconds, of any clock that does not go back.

        A batch without a cursor is a page of one: the last page, which may be empty, brings the place after it.
        """
        before = self.cursor
        if before is None:
            raise RuntimeError("the hub has no place in the log yet: begin() first")
        events = list(self.handovers.delivered(batch.events))
        for event in events:
            if event.op == "error":
                self._owed.setdefault(event.source, before)
                self.capture_errors[event.source] = self.capture_errors.get(event.source, 0) + 1
            elif recipients := self._recipients(event):
                self._offer(event, recipients, before)
        self.window.add(events, batch.cursor)
        for tap in self.taps:
            tap.published(events, batch.cursor)
        if batch.cursor is None:
            self._incomplete = True
        else:
            promised = self._promised
            for session in self._touched:
                session.settle(batch.cursor, promised)
            self._touched.clear()
            self._incomplete = False
            self.handovers.settle(batch.cursor.snapshot, batch.begun)
            self.cursor = batch.cursor
        if self._owed:
            self.tell_owed(now)

    def restart(self, cursor: Cursor, reason: ResyncReason, begun: int | None = None) -> None:
        """The log was lost, or too much of it: everybody refetches, and goes on from `cursor`."""
        self.begin(cursor, begun)
        for tap in self.taps:
            tap.restarted(cursor)
        for session in self._sessions:
            session.restart(cursor)
            self.resync(session, reason)

    def place(self, session: Session) -> Cursor:
        """The newest place that this session's client may store, when it has got everything that was taken."""
        assert self.cursor is not None
        promised = self._promised
        if promised is None:
            return session.caught_up_with(self.cursor)
        if promised.snapshot.covers(session.position.snapshot):
            return session.caught_up_with(promised)
        return session.position

    def resync(self, session: Session, reason: ResyncReason, sources: list[str] | None = None) -> None:
        """Tell one session to refetch these sources, or all of them."""
        self.resyncs[reason] = self.resyncs.get(reason, 0) + 1
        session.push("resync", self.resync_text(reason, sources), self.place(session))

    def resync_text(self, reason: ResyncReason, sources: list[str] | None) -> str:
        """The message, without a cursor. The more are connected, the wider they are told to spread."""
        spread = min(MAX_SPREAD_MS, SPREAD_MS_PER_SESSION * len(self._sessions))
        data = ResyncData(reason=reason, sources=sources, spread_ms=spread)
        return Resync(type="resync", timestamp=rfc3339(datetime.now(UTC)), data=data).text()

    def tell_owed(self, now: float) -> None:
        """Send the resyncs that capture errors have caused, each source's at most once in CAPTURE_ERROR_PAUSE."""
        for source in sorted(self._owed):
            if now - self._resynced.get(source, float("-inf")) < CAPTURE_ERROR_PAUSE:
                continue
            self._resynced[source] = now
            del self._owed[source]
            topics = self.mapping.topics_of(source)
            for session in self._sessions:
                if session.topic_among(topics) is not None:
                    self.resync(session, "capture-error", [source])

    def missed(self, session: Session, events: Iterable[Event]) -> tuple[list[Item], set[str]]:
        """For a session that reads on from the log: the messages that it may see, and the sources whose capture failed.

        The events are those of the session's owners and of nobody in particular.
        """
        items: list[Item] = []
        failed: set[str] = set()
        for event in events:
            topic = session.topic_among(self.mapping.topics_of(event.source))
            if topic is None:
                continue
            if event.op == "error":
                failed.add(event.source)
            elif event.owner in session.owners or (event.owner is None and event.op in ("bulk", "truncate")):
                made = self._message(event, topic)
                if made is None:
                    failed.add(event.source)
                else:
                    items.append(Item(*made, event.xid, row=(event.source, event.key)))
        self._count(items)
        return items, failed

    @property
    def _promised(self) -> Cursor | None:
        """While something is owed, the newest place that anybody may be told; None: the hub's own."""
        return next(iter(self._owed.values()), None)

    def _recipients(self, event: Event) -> Collection[Session]:
        if event.owner is not None:
            return self._by_owner.get(event.owner, ())
        return self._sessions if event.op in ("bulk", "truncate") else ()

    def _offer(self, event: Event, recipients: Collection[Session], before: Cursor) -> None:
        topics = self.mapping.topics_of(event.source)
        items: dict[str, Item | None] = {}
        reached = None if self._owed else before
        for session in recipients:
            topic = session.topic_among(topics)
            if topic is None or session.state is State.LAGGING:
                continue
            if topic not in items:
                items[topic] = self._item(event, topic)
            item = items[topic]
            if item is None:
                self._owed.setdefault(event.source, before)
            elif session.offer(item, reached):
                self._touched.add(session)
                self.delivered[item.kind] = self.delivered.get(item.kind, 0) + 1

    def _item(self, event: Event, topic: str) -> Item | None:
        made = self._message(event, topic)
        if made is None:
            return None
        return Item(*made, event.xid, row=(event.source, event.key), at=event.at.timestamp())

    def _message(self, event: Event, topic: str) -> tuple[str, str] | None:
        assert self.cursor is not None
        try:
            message = self.mapping.message(event, topic, self.cursor.epoch)
            return message.type, message.text()
        except Exception:
            # A value that nobody foresaw would stop the feed of everybody, and again after each new beginning. It is
            # told like a capture that failed.
            self.unmade += 1
            return None

    def _count(self, items: Iterable[Item]) -> None:
        for item in items:
            self.delivered[item.kind] = self.delivered.get(item.kind, 0) + 1
