"""What waits for one subscriber: bounded, the newest of a row where that is wished, and everything else in its place."""

from collections.abc import Callable

import pytest

from changefeed.buffer import MAX_CONTROL
from changefeed.session import Session, State
from tests.unit.subscriber import LATER, NEW, START, item, live, offer, replaying, texts
from tests.unit.transactions import cursor


def test_a_message_that_many_sessions_share_has_for_each_the_place_of_its_own() -> None:
    shared = item("{}")
    one, other, third = live(), live(mode="state"), live()
    for session in (one, other, third):
        session.offer(shared, START)
    one.settle(LATER)
    other.settle(NEW)
    assert [[waiting.cursor for waiting in session.take(0.0)] for session in (one, other, third)] == [
        [LATER],
        [NEW],
        [None],
    ]
    assert shared.cursor is None


def test_one_message_beyond_the_bytes_overflows_too() -> None:
    session = live(max_bytes=10)
    assert offer(session, 1)
    assert not offer(session, 2)
    assert session.state is State.LAGGING


def test_bytes_are_counted_as_they_are_sent() -> None:
    session = live(max_bytes=10)
    assert not session.offer(item('{"n":"éé"}'), START)
    assert live(max_bytes=10).offer(item('{"n":"ee"}'), START)


def test_a_refetch_that_the_replay_has_not_brought_is_not_replaced_by_one_that_it_has() -> None:
    # Two transactions that say "refetch" of one source, in one window; the replay saw the older one's commit alone.
    session = replaying(mode="state")
    session.offer(item("five", xid=15), START)
    session.offer(item("three", xid=13), START)
    session.settle(LATER)
    session.end_replay(cursor(14, 16, [15]))
    assert texts(session) == ["five"]


def test_state_mode_keeps_the_newest_of_each_row_and_counts_the_others() -> None:
    session = live(mode="state")
    offer(session, 1, row="a")
    offer(session, 2, row="b")
    offer(session, 3, row="a")
    session.settle(LATER)
    assert session.conflated == 1
    assert texts(session) == ['{"n":2}', '{"n":3}']


def test_a_row_that_changes_all_the_time_does_not_fill_the_buffer() -> None:
    session = live(mode="state", max_messages=1)
    for number in range(100):
        assert offer(session, number, row="a")
    assert session.conflated == 99
    assert texts(session) == ['{"n":99}']


@pytest.mark.parametrize(
    "end", [lambda s: s.lag(START), lambda s: s.restart(NEW), lambda s: [offer(s, n) for n in range(9)]]
)
def test_what_is_dropped_was_not_conflated(end: Callable[[Session], object]) -> None:
    session = live(mode="state")
    offer(session, 1, row="a")
    offer(session, 2, row="a")
    end(session)
    assert session.conflated == 0


def test_control_messages_stand_in_their_place_and_survive_an_overflow() -> None:
    session = live()
    offer(session, 1)
    session.push("pong", "pong")
    offer(session, 2)
    assert texts(session) == ['{"n":1}', "pong", '{"n":2}']
    session.push("pong", "pong")
    for number in range(4):
        offer(session, number)
    assert texts(session) == ["pong"]


def test_of_a_statistic_the_newest_waits_behind_what_came_before_it() -> None:
    session = live()
    session.push("stats", "old", newest=True)
    offer(session, 1)
    session.push("stats", "new", newest=True)
    assert texts(session) == ['{"n":1}', "new"]


def test_who_asks_and_never_reads_is_closed() -> None:
    session = live()
    for _ in range(MAX_CONTROL):
        session.push("pong", "pong")
    assert session.waiting == MAX_CONTROL
    session.push("pong", "pong")
    assert session.state is State.CLOSED
    session.push("pong", "pong")
    assert session.waiting == 0


def test_a_place_that_was_pushed_behind_events_does_not_lead_back() -> None:
    session = live()
    offer(session, 1)
    session.settle(LATER)
    session.push("resync", "{}", session.caught_up_with(LATER))
    assert [item.cursor for item in session.take(0.0)] == [LATER, LATER]
    assert session.position == LATER


def test_an_answer_taken_before_events_that_wait_does_not_lead_past_them() -> None:
    session = live()
    offer(session, 1)
    session.settle(LATER)
    session.push("resync", "{}", LATER)
    session.push("stats", "{}", newest=True)
    assert [(item.kind, item.cursor) for item in session.take_answers()] == [("resync", START)]
    assert session.waiting == 2
