"""Failures of the capture, and clients that go from one process to the other with the place that they were last told.

A failure is told at once, and then at most every ten seconds. Whoever is cut off before he was told must not hold a place
that lies behind the failure: another process would take him for one who knows.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changefeed.cursor import Cursor
from changefeed.event import Batch, Event
from changefeed.hub import CAPTURE_ERROR_PAUSE, Hub
from changefeed.mapping import EventMapping
from changefeed.session import Item, Session
from changefeed.settings import DEFAULT_SOURCES
from changefeed.window import Window
from tests.unit.hall import EXECUTION, NOTE, Hall, sent
from tests.unit.transactions import ANN, cursor, event

SOURCES = (NOTE, EXECUTION)
FIRST = 11


@dataclass
class Log:
    """What all processes read, one event in each transaction."""

    events: list[Event] = field(default_factory=list)

    @property
    def place(self) -> Cursor:
        return cursor(FIRST + len(self.events))

    def add(self, source: str, *, failed: bool) -> None:
        number = len(self.events)
        if failed:
            self.events.append(event(number + 1, FIRST + number, source, op="error", owner=None, key=None))
        else:
            self.events.append(event(number + 1, FIRST + number, source))

    def failed_at(self, source: str) -> int:
        """How many events there were when the last failure was written."""
        return max((made.seq for made in self.events if made.source == source and made.op == "error"), default=0)


class Process:
    """One of those that read the log, each at its own pace."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.hub = Hub(EventMapping(DEFAULT_SOURCES), Window(1000, 1 << 20))
        self.hub.begin(cursor(FIRST))
        self.read = 0

    def look(self, now: float) -> None:
        events = tuple(self.log.events[self.read :])
        self.read = len(self.log.events)
        self.hub.publish(Batch(events, self.log.place), now)


class Client:
    """It stores the newest place that it was told, and how much was in the log when it last fetched each source."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.place: Cursor | None = None
        self.fetched = dict.fromkeys(SOURCES, 0)
        self.process: Process | None = None
        self.session: Session | None = None
        self.taken: list[Item] = []

    def fetch(self) -> None:
        self.fetched = dict.fromkeys(SOURCES, len(self.log.events))

    def leave(self) -> None:
        """Cut off: what was taken and has not arrived never will."""
        if self.process is not None and self.session is not None:
            self.process.hub.remove(self.session)
        self.process = self.session = None
        self.taken = []

    def join(self, process: Process, now: float) -> None:
        """As a subscription does: look, then what was missed, or a resync."""
        self.leave()
        process.look(now)
        hub = process.hub
        assert hub.cursor is not None
        session = Session(
            owners=frozenset({ANN}),
            admin=False,
            position=hub.cursor,
            max_messages=4,
            max_bytes=1 << 20,
            wake=lambda: None,
        )
        hub.add(session)
        self.process, self.session = process, session
        if self.place is None:
            self.place = hub.place(session)
            self.fetch()
        else:
            session.lag(self.place)
            self.read_on()

    def read_on(self) -> None:
        """What a replay does, from memory."""
        assert self.process is not None
        assert self.session is not None
        hub, session = self.process.hub, self.session
        since = session.begin_replay()
        events = hub.window.after(since, session.owners)
        assert events is not None
        assert hub.cursor is not None
        items, failed = hub.missed(session, events)
        if failed:
            session.restart(hub.cursor)
            hub.resync(session, "capture-error")
            return
        session.end_replay(hub.cursor)
        if items:
            items[-1].cursor = hub.cursor
        self.taken += items

    def take(self, number: int) -> None:
        """Get so many more of the messages, or what a heartbeat says."""
        if self.process is None or self.session is None:
            return
        if self.session.state.value == "lagging":
            self.read_on()
        if not self.taken:
            self.taken = self.session.take(0.0)
        if not self.taken:
            self.place = self.process.hub.place(self.session)
        for item in self.taken[:number]:
            if item.kind == "resync":
                self.fetch()
            self.place = item.cursor or self.place
        del self.taken[:number]


LOOKS = st.sampled_from([(), (0,), (1,), (0, 1)])
"""Which processes look at the log right after a change."""
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(SOURCES), LOOKS),
        st.tuples(st.just("fail"), st.sampled_from(SOURCES), LOOKS),
        st.tuples(st.just("join"), st.integers(0, 1), st.just(())),
        st.tuples(st.just("take"), st.sampled_from([1, 2, 9]), st.just(())),
        st.tuples(st.just("wait"), st.sampled_from([1, 4, 11]), LOOKS),
    ),
    min_size=8,
    max_size=40,
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(steps=STEPS)
def test_whoever_changes_the_process_is_told_of_every_failure(
    steps: list[tuple[str, str | int, tuple[int, ...]]],
) -> None:
    log, now = Log(), 1000.0
    processes = [Process(log), Process(log)]
    client = Client(log)
    client.join(processes[0], now)
    for step, argument, looks in steps:
        if step in ("change", "fail"):
            log.add(str(argument), failed=step == "fail")
        elif step == "join":
            client.join(processes[int(argument)], now)
        elif step == "take":
            client.take(int(argument))
        else:
            now += float(argument)
        for number in looks:
            processes[number].look(now)
    assert client.process is not None
    for _ in range(3):
        now += CAPTURE_ERROR_PAUSE
        client.process.look(now)
        for _ in range(len(log.events) + 3):
            client.take(1)
    for source in SOURCES:
        assert client.fetched[source] >= log.failed_at(source)
    assert client.place == log.place


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_while_something_is_owed_no_newer_place_is_told(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11, op="error", owner=None, key=None), place=cursor(12))
    assert [message["cursor"] for message in sent(session)] == [str(cursor(12))]
    hall.publish(event(2, 12, op="error", owner=None, key=None), event(3, 13), place=cursor(14))
    assert [message["cursor"] for message in sent(session)] == [str(cursor(12))]
    assert hall.hub.place(session) == cursor(12)
    hall.now += CAPTURE_ERROR_PAUSE
    hall.publish(place=cursor(15))
    assert [(message["type"], message["cursor"]) for message in sent(session)] == [("resync", str(cursor(15)))]


def test_a_failure_that_is_told_at_once_is_told_before_the_place_behind_it(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11), event(2, 12, op="error", owner=None, key=None), place=cursor(13))
    changed, resync = sent(session)
    assert (changed["type"], changed["cursor"]) == ("row-changed", str(cursor(10)))
    assert resync["type"] == "resync"


def test_where_two_sources_fail_in_turn_the_place_goes_on_all_the_same(hall: Hall) -> None:
    session = hall.session(ANN)
    places = []
    for second in range(40):
        hall.now = 1000.0 + second
        source = SOURCES[second // 5 % 2]
        hall.publish(event(second + 1, 11 + second, source, op="error", owner=None, key=None))
        places += [message["cursor"] for message in sent(session)]
    assert places == sorted(places, key=lambda place: Cursor.parse(place).snapshot.xmax)
    assert Cursor.parse(places[-1]).snapshot.xmax > 11 + 20
