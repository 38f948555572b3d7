"""A hub with sessions, for tests: what is published, and what each session's client would get."""

import json
from collections import Counter
from typing import Any

from changefeed.cursor import Cursor
from changefeed.event import Batch, Event, Owner
from changefeed.hub import Hub
from changefeed.mapping import EventMapping
from changefeed.message import Message
from changefeed.session import Session
from changefeed.settings import DEFAULT_SOURCES
from changefeed.window import Window
from tests.unit.transactions import cursor

ACME = Owner("org", "ann")
"""Another kind, the same value."""
EXECUTION, NOTE = "public.workflow_execution", "public.note"


class CountingMapping(EventMapping):
    """Remembers for which event and topic it was asked to make a message."""

    def __init__(self) -> None:
        super().__init__(DEFAULT_SOURCES)
        self.made: Counter[tuple[int, str]] = Counter()

    def message(self, event: Event, topic: str, epoch: str) -> Message:
        self.made[event.seq, topic] += 1
        return super().message(event, topic, epoch)


class Hall:
    """A hub with a place, and sessions in it."""

    def __init__(self) -> None:
        self.mapping = CountingMapping()
        self.hub = Hub(self.mapping, Window(1000, 1 << 20))
        self.hub.begin(cursor(10))
        self.now = 1000.0

    def session(self, *owners: Owner, **given: Any) -> Session:
        assert self.hub.cursor is not None
        wishes: dict[str, Any] = {
            "admin": False,
            "max_messages": 100,
            "max_bytes": 1 << 20,
            "position": self.hub.cursor,
        } | given
        session = Session(owners=frozenset(owners), wake=lambda: None, **wishes)
        self.hub.add(session)
        return session

    def publish(self, *events: Event, place: Cursor | None = None, page: bool = False) -> None:
        if place is None and not page:
            assert self.hub.cursor is not None
            place = cursor(max([self.hub.cursor.snapshot.xmax, *(made.xid + 1 for made in events)]))
        self.hub.publish(Batch(tuple(events), place), self.now)


def sent(session: Session) -> list[dict[str, Any]]:
    """What a client gets, in order."""
    return [json.loads(item.whole()) for item in session.take(0.0)]


def seqs(session: Session) -> list[int]:
    return [int(message["id"].split("-")[1]) for message in sent(session) if "id" in message]
