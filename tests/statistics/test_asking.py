"""When the tables are asked: once for each scope, again where a delta cannot say it, and never more often than is paid for."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Op
from changefeed.session import Session, State
from changefeed.statistics import BATCH, FRESH_SECONDS, RETRY_SECONDS
from tests.statistics.desk import ADMIN, OWNED, ROUGH, Count, Desk


def test_what_cannot_be_said_as_a_delta_is_asked_anew_for_those_whom_it_concerns() -> None:
    desk = Desk(OWNED)
    mine, other = desk.join("a"), desk.join("b")
    desk.work(0)
    assert (desk.tell(mine), desk.tell(other)) == ([0], [0])
    desk.clock.now += 5
    desk.happen("a", "leave")
    (job,) = desk.work(9)
    assert [scope.value for scope in job.ledgers if scope] == ["a"]
    assert (desk.tell(mine), desk.tell(other)) == ([9], [])


@pytest.mark.parametrize("op", ["bulk", "truncate", "error"])
def test_what_concerns_a_whole_source_makes_everybody_be_asked_anew(op: Op) -> None:
    desk = Desk()
    desk.join("a")
    desk.join("b", admin=True)
    desk.work(0)
    desk.clock.now += 100
    desk.happen(None, op)
    assert sorted(len(job.ledgers) for job in desk.work(1)) == [1, 2]


def test_a_storm_of_refetches_costs_no_more_than_half_of_the_time() -> None:
    desk = Desk(OWNED)
    desk.join("a")
    desk.work(0)
    spent, began = 0.0, desk.clock.now
    for _ in range(300):
        desk.clock.now += 0.1
        desk.happen("a", "bulk")
        spent += 3.0 * len(desk.work(0, took=3.0))
    assert 0 < spent <= 0.51 * (desk.clock.now - began)


def test_who_only_just_comes_does_not_wait_for_others_storms() -> None:
    desk = Desk(OWNED)
    desk.join("a")
    desk.work(0, took=30.0)
    desk.happen("a", "bulk")
    assert not desk.work(0)
    session = desk.join("b")
    desk.clock.now += FRESH_SECONDS
    assert [len(job.ledgers) for job in desk.work(5)] == [1]
    assert desk.tell(session) == [5]


def test_those_who_come_one_after_the_other_in_a_storm_share_an_aggregate() -> None:
    desk = Desk(OWNED)
    desk.join("a")
    assert [len(job.ledgers) for job in desk.work(0)] == [1]
    sessions = []
    for name in "bcd":
        sessions.append(desk.join(name))
        assert not desk.work(1)
    assert desk.statistics.until_asking() == pytest.approx(FRESH_SECONDS)
    desk.clock.now += FRESH_SECONDS
    assert [len(job.ledgers) for job in desk.work(1)] == [3]
    assert [desk.tell(session) for session in sessions] == [[1], [1], [1]]


def test_an_aggregate_over_everybodys_rows_is_paid_for_before_the_next_one() -> None:
    desk = Desk(ADMIN)
    desk.join(admin=True)
    desk.work(0, took=2.0)
    desk.happen("a", "leave")
    assert not desk.work(0)
    assert desk.statistics.until_asking() == pytest.approx(40.0)
    desk.clock.now += 40.0
    assert len(desk.work(0)) == 1


def test_many_owners_are_asked_for_at_a_time_but_not_all_of_ten_thousand() -> None:
    desk = Desk(OWNED)
    for number in range(BATCH + 5):
        desk.join(str(number))
    assert [len(job.ledgers) for job in desk.work(0)] == [BATCH, 5]


def test_an_aggregate_that_fails_is_tried_again_later_and_the_others_go_on() -> None:
    desk = Desk()
    session = desk.join("a", admin=True)
    job = desk.statistics.next_job()
    assert job is not None
    assert job.statistic is OWNED
    desk.statistics.fail(job)
    assert [done.statistic for done in desk.work(3)] == [ADMIN]
    assert desk.statistics.until_asking() == pytest.approx(RETRY_SECONDS)
    assert desk.tell(session) == [3]
    desk.clock.now += RETRY_SECONDS
    assert [done.statistic for done in desk.work(4)] == [OWNED]
    desk.statistics.tell()
    assert [json.loads(item.text)["data"]["executions"]["total"] for item in session.take(0.0)] == [4]


def test_an_answer_for_somebody_who_has_gone_and_come_back_meanwhile_is_not_taken() -> None:
    desk = Desk(OWNED)
    session = desk.join("a")
    job = desk.statistics.next_job()
    assert job is not None
    session.close()
    desk.statistics.sweep()
    again = desk.join("a")
    desk.happen("a")
    # This answer was made before the second one came, and nobody has gathered events for him.
    desk.statistics.finish(job, Snapshot.parse("1:1:"), {scope: Count(0) for scope in job.ledgers})
    assert desk.tell(again) == []
    desk.clock.now += FRESH_SECONDS
    desk.work(1)
    assert desk.tell(again) == [1]


def test_another_log_makes_every_number_be_read_anew_also_one_that_is_under_way() -> None:
    desk = Desk(OWNED)
    session, other = desk.join("a"), desk.join("b")
    desk.work(1)
    desk.tell(other)
    desk.tell(session)
    desk.clock.now += 5
    desk.happen("a", "bulk")
    job = desk.statistics.next_job()
    assert job is not None
    desk.statistics.restarted(Cursor("f" * 16, Snapshot.parse("1:1:")))
    desk.statistics.finish(job, desk.snapshot(), {scope: Count(77) for scope in job.ledgers})
    assert desk.tell(session) == []
    desk.clock.now += 5
    assert sum(len(done.ledgers) for done in desk.work(2)) == 2
    assert (desk.tell(session), desk.tell(other)) == ([2], [2])


def test_watches_that_have_changed_make_every_number_be_read_anew() -> None:
    desk = Desk(OWNED)
    session = desk.join("a")
    desk.work(1)
    assert desk.tell(session) == [1]
    desk.clock.now += 5
    desk.statistics.refresh()
    desk.work(2)
    assert desk.tell(session) == [2]


def test_numbers_are_compared_from_time_to_time_and_a_difference_is_counted_and_mended() -> None:
    desk = Desk(OWNED, check_interval=60.0)
    session = desk.join("a")
    desk.work(10)
    assert desk.tell(session) == [10]
    desk.clock.now += 59
    assert not desk.work()
    desk.clock.now += 1
    assert len(desk.work(10)) == 1
    assert desk.statistics.drift == {"mine": 0}
    desk.clock.now += 60
    assert len(desk.work(8)) == 1
    desk.happen("b")
    assert desk.statistics.drift == {"mine": 1}
    assert desk.tell(session) == [8]


def test_each_comparison_takes_those_that_were_not_compared_for_longest() -> None:
    desk = Desk(OWNED, check_interval=60.0)
    for number in range(50):
        desk.join(str(number))
    desk.work(0)
    seen: list[Any] = []
    for _ in range(3):
        desk.clock.now += 60
        seen += [scope for job in desk.work(0) for scope in job.ledgers]
    assert len(seen) == 60
    assert len(set(seen)) == 50


def test_numbers_without_deltas_are_read_when_they_are_too_old_but_only_while_somebody_looks() -> None:
    desk = Desk(ROUGH)
    session = desk.join(admin=True)
    desk.work(1, good_for=5.0)
    assert desk.tell(session) == [1]
    assert desk.statistics.until_asking() == pytest.approx(5.0)
    desk.clock.now += 5.0
    desk.work(2, good_for=5.0)
    assert desk.tell(session) == [2]
    session.close()
    desk.statistics.sweep()
    desk.clock.now += 50.0
    assert not desk.work(3)


def test_numbers_that_are_too_old_while_their_statistic_rests_are_waited_for() -> None:
    desk = Desk(ROUGH)
    desk.join(admin=True)
    desk.work(1, good_for=5.0, took=1.0)
    desk.clock.now += 6.0
    assert not desk.work(2)
    assert desk.statistics.until_asking() == pytest.approx(14.0)
    desk.clock.now += 14.0
    assert len(desk.work(2)) == 1


def test_numbers_without_deltas_are_shown_to_who_comes_even_if_they_are_being_read_anew() -> None:
    desk = Desk(ROUGH)
    desk.join(admin=True)
    desk.work(1, took=10.0)
    desk.happen("a", "bulk")
    late = desk.join(admin=True)
    assert desk.tell(late) == [1]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("happen"), st.sampled_from(["a", "b", None])),
        st.tuples(st.just("break"), st.sampled_from(["a", "b", None])),
        st.tuples(st.just("wait"), st.floats(0, 100)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("fail"), st.none()),
        st.tuples(st.just("slow"), st.floats(0, 5)),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(MOVES)
def test_whoever_runs_it_never_turns_in_a_circle(moves: list[tuple[str, Any]]) -> None:
    """Where there is no job, there is none for some time; where nothing is due, nothing is for some time."""
    desk = Desk(OWNED, ADMIN, ROUGH, check_interval=30.0)
    sessions: list[Session] = []
    took = 0.0
    for move, what in moves:
        if move == "join":
            sessions.append(desk.join(what, admin=what == "c"))
        elif move in ("happen", "break"):
            desk.happen(what, "insert" if move == "happen" else "bulk")
        elif move == "wait":
            desk.clock.now += what
        elif move == "leave" and what < len(sessions):
            sessions[what].close()
        elif move == "fail" and (job := desk.statistics.next_job()) is not None:
            desk.statistics.fail(job)
        elif move == "slow":
            took = what
        desk.work(0, good_for=7.0, took=took)
        desk.statistics.tell()
        assert desk.statistics.until_asking() > 0
        assert desk.statistics.until_telling() > 0
        assert all(session.waiting <= 3 for session in sessions if session.state is not State.CLOSED)
