"""The hub: every event to the sessions of its owner and to nobody else, made once, in batches that say where they end."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Cursor
from changefeed.event import Batch, Event, Op
from changefeed.hub import Hub
from changefeed.mapping import EventMapping
from changefeed.session import Item, Session, State
from changefeed.window import Window
from tests.unit.hall import ACME, EXECUTION, NOTE, Hall, sent, seqs
from tests.unit.transactions import ANN, BOB, cursor, event


@pytest.fixture
def hall() -> Hall:
    return Hall()


OWNERS = (ANN, BOB, ACME)
OPS: tuple[Op, ...] = ("insert", "update", "delete", "leave", "bulk", "truncate", "error")


@given(st.integers(0, 1 << 32))
def test_an_event_reaches_the_sessions_of_its_owner_and_nobody_else(seed: int) -> None:
    chance = random.Random(seed)
    hall = Hall()
    sessions = []
    for _ in range(6):
        topics = chance.choice([None, {"executions"}, {f"rows:{EXECUTION}", f"rows:{NOTE}"}, set()])
        owners = chance.sample(OWNERS, chance.randint(0, 2))
        wishes = {"topics": None if topics is None else frozenset(topics), "admin": chance.random() < 0.3}
        sessions.append(hall.session(*owners, **wishes))
    for gone in chance.sample(sessions, 2):
        hall.hub.remove(gone)
        sessions.remove(gone)
    events = []
    for seq in range(1, chance.randint(2, 12)):
        op = chance.choice(OPS)
        owner = chance.choice((*OWNERS, None))
        source = chance.choice((EXECUTION, NOTE))
        events.append(event(seq, 10 + seq, source, op, owner=owner, data='{"id": 1, "reason": "bulk"}'))
    hall.publish(*events)
    for session in sessions:
        expected = [
            made.seq
            for made in events
            if made.op != "error"
            and session.topic_among(hall.mapping.topics_of(made.source)) is not None
            and (made.owner in session.owners if made.owner else made.op in ("bulk", "truncate"))
        ]
        messages = [message for message in sent(session) if message["type"] != "resync"]
        assert [int(message["id"].split("-")[1]) for message in messages] == expected
        assert all(message.get("user_id") in {None, *(owner.value for owner in session.owners)} for message in messages)
    assert all(count == 1 for count in hall.mapping.made.values()), "made once for each topic"


def test_nothing_is_made_for_nobody(hall: Hall) -> None:
    hall.session(BOB)
    hall.session(ANN, topics=frozenset({"executions"}))
    hall.publish(event(1, 11), event(2, 12, owner=None), event(3, 13, owner=ACME))
    assert not hall.mapping.made


def test_a_session_that_wants_two_topics_of_a_source_gets_one_message(hall: Hall) -> None:
    session = hall.session(ANN, topics=frozenset({"executions", f"rows:{EXECUTION}"}))
    hall.publish(event(1, 11, EXECUTION))
    assert [message["type"] for message in sent(session)] == ["execution-updated"]


def test_a_session_of_two_owners_gets_an_event_once(hall: Hall) -> None:
    session = hall.session(ANN, ACME)
    hall.publish(event(1, 11), event(2, 12, owner=ACME), event(3, 13, op="truncate", owner=None, key=None, data=None))
    assert seqs(session) == [1, 2, 3]


def test_for_each_topic_a_message_is_made_once_for_however_many(hall: Hall) -> None:
    sessions = [hall.session(ANN) for _ in range(5)]
    sessions += [hall.session(ANN, topics=frozenset({f"rows:{EXECUTION}"})) for _ in range(5)]
    hall.publish(event(1, 11, EXECUTION))
    assert hall.mapping.made == {(1, "executions"): 1, (1, f"rows:{EXECUTION}"): 1}
    assert [sent(session)[0]["type"] for session in sessions] == ["execution-updated"] * 5 + ["row-changed"] * 5


def test_the_last_message_of_a_batch_carries_the_place_after_it(hall: Hall) -> None:
    ann, bob = hall.session(ANN), hall.session(BOB)
    hall.publish(event(1, 11), event(2, 11), event(3, 11, owner=BOB), place=cursor(12))
    assert [message.get("cursor") for message in sent(ann)] == [None, str(cursor(12))]
    assert [message.get("cursor") for message in sent(bob)] == [str(cursor(12))]
    assert ann.position == bob.position == cursor(12)


def test_the_last_message_of_a_window_in_pages_carries_it_too(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11), page=True)
    hall.publish(event(2, 12), page=True)
    assert session.position == cursor(10)
    hall.publish(place=cursor(20))
    assert [message.get("cursor") for message in sent(session)] == [None, str(cursor(20))]


def test_what_was_taken_between_two_pages_leads_no_further_than_before_the_window(hall: Hall) -> None:
    session = hall.session(ANN)
    hall.publish(event(1, 11), page=True)
    assert [message.get("cursor") for message in sent(session)] == [None]
    assert session.caught_up_with(hall.hub.cursor or cursor(0)) == cursor(10)
    hall.publish(event(2, 12), page=True)
    hall.publish(place=cursor(20))
    assert [message.get("cursor") for message in sent(session)] == [str(cursor(20))]
    assert session.position == cursor(20)


def test_who_comes_between_two_pages_reads_the_first_ones_from_memory(hall: Hall) -> None:
    hall.publish(event(1, 11), page=True)
    session = hall.session(ANN)
    assert session.state is State.LAGGING
    since = session.begin_replay()
    missed = hall.hub.window.after(since, session.owners)
    assert missed is not None
    items, _ = hall.hub.missed(session, missed)
    session.end_replay(cursor(10))
    hall.publish(event(2, 12), place=cursor(20))
    assert [item.xid for item in items] == [11]
    assert seqs(session) == [2]


def test_who_comes_between_two_windows_is_live_at_once(hall: Hall) -> None:
    hall.publish(event(1, 11), page=True)
    hall.publish(place=cursor(12))
    assert hall.session(ANN).state is State.LIVE


def test_a_session_that_lags_is_offered_nothing_and_the_others_notice_nothing(hall: Hall) -> None:
    slow, quick = hall.session(ANN, max_messages=1), hall.session(ANN)
    hall.publish(event(1, 11), event(2, 12), place=cursor(13))
    hall.publish(event(3, 13), place=cursor(14))
    assert slow.state is State.LAGGING
    assert slow.position == cursor(10)
    assert seqs(slow) == []
    assert seqs(quick) == [1, 2, 3]


def test_removing_leaves_nothing_behind(hall: Hall) -> None:
    session = hall.session(ANN, BOB)
    other = hall.session(ANN)
    assert set(hall.hub.owners) == {ANN, BOB}
    hall.hub.remove(session)
    hall.hub.remove(session)
    assert set(hall.hub.owners) == {ANN}
    hall.hub.remove(other)
    assert (len(hall.hub), list(hall.hub.owners), list(hall.hub.sessions)) == (0, [], [])


def test_before_it_has_a_place_nothing_can_be_published() -> None:
    with pytest.raises(RuntimeError, match="begin"):
        Hub(EventMapping({}), Window(10, 1000)).publish(Batch((), cursor(10)), 0.0)


class TestReadingOn:
    """What a session that is behind gets of the events that were read for it."""

    def missed(self, hall: Hall, session: Session, *events: Event) -> tuple[list[Item], set[str]]:
        return hall.hub.missed(session, events)

    def test_it_gets_what_it_may_see_and_wants(self, hall: Hall) -> None:
        session = hall.session(ANN, topics=frozenset({f"rows:{NOTE}"}))
        events: Sequence[Event] = [
            event(1, 11),
            event(2, 12, owner=ACME),  # the log is asked by value, the kind is ours to tell apart
            event(3, 13, EXECUTION),
            event(4, 14, op="bulk", owner=None, key=None, data='{"reason": "bulk"}'),
            event(5, 15, owner=None),
            event(6, 16, EXECUTION, op="error", owner=None),
        ]
        items, failed = self.missed(hall, session, *events)
        assert [(item.kind, item.xid) for item in items] == [("row-changed", 11), ("rows-changed", 14)]
        assert failed == set()
        assert hall.hub.delivered == {"row-changed": 1, "rows-changed": 1}

    def test_a_failed_capture_of_what_it_wants_is_said(self, hall: Hall) -> None:
        session = hall.session(ANN)
        assert self.missed(hall, session, event(1, 11, op="error", owner=None)) == ([], {NOTE})

    def test_an_owner_that_it_is_no_longer_sees_nothing(self, hall: Hall) -> None:
        session = hall.session(ANN)
        session.owners = frozenset({BOB})
        assert self.missed(hall, session, event(1, 11)) == ([], set())


class Listening:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def published(self, events: Sequence[Event], cursor: Cursor | None) -> None:
        self.heard.append(([made.seq for made in events], cursor))

    def restarted(self, cursor: Cursor) -> None:
        self.heard.append(cursor)


def test_a_tap_hears_every_event_and_of_every_restart(hall: Hall) -> None:
    tap = Listening()
    hall.hub.taps.add(tap)
    hall.publish(event(1, 11), event(2, 12, owner=None), page=True)
    hall.publish(place=cursor(13))
    hall.hub.restart(cursor(20), "retention")
    assert tap.heard == [([1, 2], None), ([], cursor(13)), cursor(20)]
