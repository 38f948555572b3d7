"""Owner → sessions, in this process: one event, many subscribers.

Guarantees: an event with an owner is offered to sessions of that very owner (kind and value) and to nobody else; one
without an owner to nobody, unless it says "refetch" (bulk, truncate), which names no row. A message is made at most once
for each topic, and only if somebody is connected who may see it. Fan-out is a synchronous loop and awaits nobody. Pure:
the time is passed in.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

from .cursor import Cursor
from .event import Batch, Event, Owner
from .mapping import EventMapping
from .messages import Resync, ResyncData, ResyncReason, rfc3339
from .session import Session, State, with_cursor

CAPTURE_ERROR_PAUSE = 10.0
"""Seconds between two resyncs that capture errors of one source may cause."""
SPREAD_MS_PER_SESSION = 5
MAX_SPREAD_MS = 30_000


class Hub:
    """The sessions of one process, and the place in the log up to which they have been served."""

    def __init__(self, mapping: EventMapping) -> None:
        self._mapping = mapping
        self._sessions: set[Session] = set()
        self._by_owner: dict[Owner, set[Session]] = {}
        self._resynced: dict[str, float] = {}
        self._owed: set[str] = set()
        self.cursor: Cursor | None = None
        """None until the relay has found its place."""
        self.delivered = 0
        """Messages handed to sessions since the start."""

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session) -> None:
        """From now on the session is offered what it may see."""
        self._sessions.add(session)
        for owner in session.owners:
            self._by_owner.setdefault(owner, set()).add(session)

    def remove(self, session: Session) -> None:
        """Forget the session. One that is not there is no error."""
        self._sessions.discard(session)
        for owner in session.owners:
            mine = self._by_owner.get(owner)
            if mine is not None:
                mine.discard(session)
                if not mine:
                    del self._by_owner[owner]

    def publish(self, batch: Batch, now: float) -> None:
        """Offer each event to whoever may see it. `now`: seconds, of any clock that does not go back."""
        if self.cursor is None:
            raise RuntimeError("the hub has no place in the log yet: begin() first")
        touched: set[Session] = set()
        for event in batch.events:
            if event.op == "error":
                self._owed.add(event.source)
                continue
            recipients = self._recipients(event)
            if recipients:
                touched.update(self._offer(event, recipients, self.cursor))
        if self._owed:
            self.tell_owed(now)
        if batch.cursor is not None:
            for session in touched:
                session.settle(batch.cursor)
            self.cursor = batch.cursor

    def begin(self, cursor: Cursor) -> None:
        """The first place: nobody has missed anything."""
        self.cursor = cursor

    def restart(self, cursor: Cursor, reason: ResyncReason) -> None:
        """The log was lost, or too much of it: everybody refetches, and goes on from `cursor`."""
        self.cursor = cursor
        text = self._resync_text(reason, None)
        for session in self._sessions:
            session.restart(cursor)
            session.push(with_cursor(text, cursor))

    def render(self, session: Session, events: Iterable[Event]) -> list[str]:
        """The messages of these events that this session may see: for a session that reads on from the log."""
        texts = []
        for event in events:
            if event.op == "error":
                self._owed.add(event.source)
            elif session in self._recipients(event):
                topic = session.topic_among(self._mapping.topics_of(event.source))
                if topic is not None:
                    texts.append(self._mapping.message(event, topic, self._epoch()).text())
        self.delivered += len(texts)
        return texts

    def tell_owed(self, now: float) -> None:
        """Send the resyncs that capture errors have caused, each source's at most once in CAPTURE_ERROR_PAUSE."""
        for source in sorted(self._owed):
            if now - self._resynced.get(source, -CAPTURE_ERROR_PAUSE) < CAPTURE_ERROR_PAUSE:
                continue
            self._resynced[source] = now
            self._owed.discard(source)
            text = self._resync_text("capture-error", [source])
            topics = self._mapping.topics_of(source)
            for session in self._sessions:
                if session.topic_among(topics) is not None:
                    session.push(text)

    def _recipients(self, event: Event) -> Collection[Session]:
        if event.owner is not None:
            return self._by_owner.get(event.owner, ())
        return self._sessions if event.op in ("bulk", "truncate") else ()

    def _offer(self, event: Event, recipients: Collection[Session], before: Cursor) -> list[Session]:
        topics = self._mapping.topics_of(event.source)
        texts: dict[str, str] = {}
        offered = []
        for session in recipients:
            topic = session.topic_among(topics)
            if topic is None:
                continue
            text = texts.get(topic)
            if text is None:
                text = texts[topic] = self._mapping.message(event, topic, self._epoch()).text()
            if session.offer(text, event.xid, before):
                offered.append(session)
        self.delivered += len(offered)
        return offered

    def _epoch(self) -> str:
        return "" if self.cursor is None else self.cursor.epoch

    def _resync_text(self, reason: ResyncReason, sources: list[str] | None) -> str:
        spread = min(MAX_SPREAD_MS, SPREAD_MS_PER_SESSION * len(self._sessions))
        data = ResyncData(reason=reason, sources=sources, spread_ms=spread)
        return Resync(type="resync", timestamp=rfc3339(datetime.now(UTC)), data=data).text()
