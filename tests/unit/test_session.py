"""The session's table, cell by cell, and what its writer can rely on. Every mixture of it is next door, in the machine."""

from collections.abc import Callable

import pytest

from changefeed.session import Session, State
from tests.unit.subscriber import (
    LATER,
    NEW,
    START,
    Woken,
    closed,
    lagging,
    live,
    offer,
    overflown,
    replaying,
    texts,
)
from tests.unit.transactions import cursor


@pytest.mark.parametrize(
    ("state", "say", "then"),
    [
        (live, lambda s: offer(s, 1), State.LIVE),
        (lagging, lambda s: offer(s, 1), State.LAGGING),
        (replaying, lambda s: offer(s, 1), State.REPLAYING),
        (closed, lambda s: offer(s, 1), State.CLOSED),
        (live, lambda s: [offer(s, n) for n in range(4)], State.LAGGING),
        (replaying, lambda s: [offer(s, n) for n in range(4)], State.LAGGING),
        (live, lambda s: s.lag(START), State.LAGGING),
        (lagging, lambda s: s.lag(START), State.LAGGING),
        (replaying, lambda s: s.lag(START), State.LAGGING),
        (closed, lambda s: s.lag(START), State.CLOSED),
        (lagging, lambda s: s.begin_replay(), State.REPLAYING),
        (overflown, lambda s: s.begin_replay(), State.REPLAYING),
        (live, lambda s: s.end_replay(LATER), State.LIVE),
        (lagging, lambda s: s.end_replay(LATER), State.LAGGING),
        (overflown, lambda s: s.end_replay(LATER), State.LAGGING),
        (replaying, lambda s: s.end_replay(LATER), State.LIVE),
        (closed, lambda s: s.end_replay(LATER), State.CLOSED),
        (live, lambda s: s.restart(NEW), State.LIVE),
        (lagging, lambda s: s.restart(NEW), State.LIVE),
        (replaying, lambda s: s.restart(NEW), State.LIVE),
        (closed, lambda s: s.restart(NEW), State.CLOSED),
        (live, lambda s: s.close(), State.CLOSED),
        (lagging, lambda s: s.close(), State.CLOSED),
        (replaying, lambda s: s.close(), State.CLOSED),
        (closed, lambda s: s.close(), State.CLOSED),
    ],
)
def test_the_table(state: Callable[[], Session], say: Callable[[Session], object], then: State) -> None:
    session = state()
    say(session)
    assert session.state is then


@pytest.mark.parametrize("state", [live, replaying, closed])
def test_only_who_lags_can_begin_a_replay(state: Callable[[], Session]) -> None:
    session = state()
    with pytest.raises(RuntimeError, match=f"the session is {session.state.value}, expected lagging"):
        session.begin_replay()


@pytest.mark.parametrize("state", [lagging, closed])
def test_what_is_offered_to_who_lags_or_is_gone_does_not_wait(state: Callable[[], Session]) -> None:
    session = state()
    assert not offer(session, 1)
    assert texts(session) == []


def test_what_is_offered_waits_and_is_taken_in_order() -> None:
    session = live()
    assert offer(session, 1)
    assert offer(session, 2)
    session.settle(LATER)
    assert session.waiting == 2
    assert [item.whole() for item in session.take(0.0)] == ['{"n":1}', f'{{"n":2,"cursor":"{LATER}"}}']
    assert session.position == LATER
    assert session.waiting == 0


def test_an_overflow_drops_everything_and_goes_on_from_before_it() -> None:
    session = live()
    for number in range(3):
        offer(session, number)
    assert not offer(session, 3)
    session.settle(LATER)
    assert texts(session) == []
    assert session.begin_replay() == START


def test_what_the_replay_has_brought_is_dropped_and_what_came_after_stays() -> None:
    session = replaying()
    offer(session, 1, xid=15)
    offer(session, 2, xid=25)
    session.settle(NEW)
    session.end_replay(LATER)
    assert [(item.text, item.cursor) for item in session.take(0.0)] == [('{"n":2}', NEW)]


def test_what_the_replay_has_brought_is_not_offered_again() -> None:
    session = replaying()
    session.end_replay(LATER)
    assert not offer(session, 1, xid=15, before=cursor(15))
    assert offer(session, 2, xid=25, before=cursor(15))


@pytest.mark.parametrize("state", [lagging, replaying, overflown])
def test_a_restart_overtakes_the_replay(state: Callable[[], Session]) -> None:
    session = state()
    session.restart(NEW)
    assert not session.reading
    session.end_replay(LATER)
    assert (session.state, session.position) == (State.LIVE, NEW)


def test_another_place_overtakes_the_replay() -> None:
    session = replaying()
    session.lag(LATER)
    assert not session.reading
    session.end_replay(NEW)
    assert (session.state, session.position) == (State.LAGGING, LATER)


def test_an_overflow_does_not_end_the_replay() -> None:
    session = overflown()
    session.end_replay(LATER)
    assert session.begin_replay() == LATER


def test_after_a_replay_the_place_of_a_quiet_session_moves_on() -> None:
    session = replaying()
    session.end_replay(LATER)
    assert session.caught_up_with(cursor(15)) == LATER, "the hub is behind what was read from the log"
    assert session.caught_up_with(NEW) == NEW


def test_the_place_of_who_is_behind_does_not_move_on() -> None:
    waiting = live()
    offer(waiting, 1)
    for session in (waiting, lagging(), replaying()):
        assert session.caught_up_with(NEW) == START


def test_between_two_deliveries_of_events_there_is_an_interval() -> None:
    session = live(min_interval=2.0)
    assert session.hold(100.0) == 0.0, "the first one comes at once"
    offer(session, 1)
    session.take(100.0)
    offer(session, 2)
    assert session.hold(100.5) == 1.5
    assert session.hold(102.0) == 0.0
    assert session.hold(1000.0) == 0.0


def test_what_somebody_waits_for_is_not_held() -> None:
    session = live(min_interval=2.0)
    offer(session, 1)
    session.take(100.0)
    session.push("stats", "{}", newest=True)
    assert session.hold(100.0) == 2.0
    session.push("pong", "{}")
    assert session.hold(100.0) == 0.0


def test_an_answer_alone_does_not_put_events_off() -> None:
    session = live(min_interval=2.0)
    session.push("pong", "{}")
    session.take(100.0)
    offer(session, 1)
    assert session.hold(100.0) == 0.0


@pytest.mark.parametrize(
    "say",
    [
        lambda s: offer(s, 1),
        lambda s: s.push("pong", "{}"),
        lambda s: s.lag(START),
        lambda s: s.close(),
        lambda s: [offer(s, n) for n in range(4)],
    ],
)
def test_the_writer_is_woken_when_there_is_something_to_do(say: Callable[[Session], object]) -> None:
    woken = Woken()
    say(live(wake=woken))
    assert woken.times >= 1


def test_the_writer_is_not_woken_for_nothing() -> None:
    woken = Woken()
    session = lagging(wake=woken)
    before = woken.times
    offer(session, 1)
    session.settle(LATER)
    session.caught_up_with(NEW)
    assert woken.times == before


@pytest.mark.parametrize(
    ("topics", "topic"),
    [
        (None, "executions"),
        (frozenset({"executions", "rows:t"}), "executions"),
        (frozenset({"rows:t"}), "rows:t"),
        (frozenset({"other"}), None),
        (frozenset(), None),
    ],
)
def test_one_topic_of_a_source_is_chosen(topics: frozenset[str] | None, topic: str | None) -> None:
    assert live(topics=topics).topic_among(("executions", "rows:t")) == topic


def test_a_quiet_session_that_overflows_goes_on_from_the_batch_that_did_it() -> None:
    session = live()
    for number in range(4):
        offer(session, number, before=LATER)
    assert session.begin_replay() == LATER


def test_what_a_replay_has_brought_is_forgotten_when_the_hub_is_beyond_it() -> None:
    session = replaying()
    session.end_replay(LATER)
    for number in range(4):
        offer(session, number, xid=31, before=NEW)
    assert session.begin_replay() == NEW


def test_a_session_that_is_ahead_of_the_hub_does_not_go_back_to_it() -> None:
    session = replaying()
    session.end_replay(LATER)
    assert offer(session, 1, xid=25, before=cursor(15))
    assert session.position == LATER


def test_who_goes_back_is_sent_again_what_an_earlier_replay_has_brought() -> None:
    session = replaying()
    session.end_replay(NEW)
    session.lag(START)
    session.begin_replay()
    assert offer(session, 1, xid=25)
    session.end_replay(LATER)
    assert texts(session) == ['{"n":1}']


def test_what_is_taken_during_a_replay_leads_nowhere() -> None:
    session = replaying()
    offer(session, 1)
    session.settle(LATER)
    assert len(session.take(0.0)) == 1
    assert session.position == START


def test_a_batch_whose_messages_were_taken_before_it_was_complete_leaves_nothing_to_mark() -> None:
    session = live()
    offer(session, 1)
    assert len(session.take(0.0)) == 1
    session.settle(LATER)
    assert session.waiting == 0
    assert session.position == START


@pytest.mark.parametrize("mode", ["log", "state"])
def test_a_replay_may_end_within_a_batch(mode: str) -> None:
    session = replaying(mode=mode)
    offer(session, 1, xid=25, row="a")
    session.end_replay(LATER)
    session.settle(NEW)
    assert [item.cursor for item in session.take(0.0)] == [NEW]


def test_a_replay_from_memory_does_not_lead_back_from_what_the_log_has_brought() -> None:
    session = overflown()
    session.end_replay(LATER)
    session.begin_replay()
    session.end_replay(cursor(15))
    assert session.position == LATER
    assert not offer(session, 1, xid=18, before=cursor(15))
