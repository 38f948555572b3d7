"""Who is told what, and when: the pure half of the statistics, with the time passed in and answers made up."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Op, Owner
from changefeed.figures import DashboardStatistics, DashboardStatsUpdate, ExecutionStatistics, TaskStatistics
from changefeed.message import Message
from changefeed.session import Session, State
from changefeed.shape import InexpressibleError
from changefeed.statistic import Job, Statistic
from changefeed.statistics import BATCH, RETRY_SECONDS, SWEEP_SECONDS, Statistics
from tests.statistics.watching import Clock

SOURCE = "public.t"
PLACE = Cursor("e" * 16, Snapshot.parse("1:1:"))


class Count:
    """A tally that counts what it follows."""

    def __init__(self, count: int = 0, good_for: float | None = None) -> None:
        self.count = count
        self.good_for = good_for

    def apply(self, event: Event) -> None:
        if event.op != "insert":
            raise InexpressibleError
        self.count += 1

    def differs(self, other: "Count") -> bool:
        return self.count != other.count


def body(tallies: Sequence[Count]) -> DashboardStatistics:
    total = sum(tally.count for tally in tallies)
    executions = ExecutionStatistics(
        total=total, by_status={}, success_rate=None, avg_duration_seconds=None, cost_usd="0"
    )
    return DashboardStatistics(
        executions=executions, agent_tasks=TaskStatistics(total=0, by_status={}, tokens=0, cost_usd="0")
    )


class AdminUpdate(Message):
    type: str = "admin-update"
    data: DashboardStatistics


OWNED = Statistic("mine", DashboardStatsUpdate, frozenset({SOURCE}), 1.0, body, owned=True, rest=1.0)
ADMIN = Statistic("all", AdminUpdate, frozenset({SOURCE}), 1.0, body)
ROUGH = Statistic("rough", AdminUpdate, frozenset({SOURCE}), 1.0, body, exact=False)


class Desk:
    """The statistics, what they woke, and the answers that the test gives them."""

    def __init__(self, *offered: Statistic, check_interval: float = 1e9) -> None:
        self.clock = Clock()
        self.woken = 0
        self.statistics = Statistics(offered or (OWNED, ADMIN), self.clock, check_interval, self._woken)
        self.xid = 10
        self.jobs: list[Job] = []

    def _woken(self) -> None:
        self.woken += 1

    def join(self, *owners: str, admin: bool = False, topics: frozenset[str] | None = None) -> Session:
        session = Session(
            owners=frozenset(Owner("user", owner) for owner in owners),
            admin=admin,
            position=PLACE,
            max_messages=10,
            max_bytes=10_000,
            wake=lambda: None,
            topics=topics,
        )
        self.statistics.welcome(session)
        return session

    def happen(self, owner: str | None, op: Op = "insert") -> None:
        """One event, published."""
        self.xid += 1
        who = None if owner is None else Owner("user", owner)
        event = Event(self.xid, self.xid, datetime.now(UTC), SOURCE, op, "{}", who, "{}", None, partial=False)
        self.statistics.published([event], Cursor(PLACE.epoch, self.snapshot()))

    def snapshot(self) -> Snapshot:
        """As of now: it includes everything that has happened."""
        return Snapshot.parse(f"{self.xid + 1}:{self.xid + 1}:")

    def work(
        self, count: int | Callable[[Owner | None], int] = 0, good_for: float | None = None, took: float = 0.0
    ) -> list[Job]:
        """Answer every job. Returns them."""
        done = []
        while (job := self.statistics.next_job()) is not None:
            self.clock.now += took
            numbers = {
                scope: Count(count if isinstance(count, int) else count(scope), good_for) for scope in job.ledgers
            }
            self.statistics.finish(job, self.snapshot(), numbers)
            done.append(job)
        self.jobs += done
        return done

    def tell(self, session: Session) -> list[int]:
        """Tell what is due. Returns the totals that the session was sent."""
        self.statistics.tell()
        return [json.loads(item.text)["data"]["executions"]["total"] for item in session.take(self.clock.now)]


def test_who_comes_is_told_once_the_numbers_are_known_and_not_before() -> None:
    desk = Desk()
    session = desk.join("a")
    assert desk.tell(session) == []
    desk.work(7)
    assert desk.tell(session) == [7]
    assert desk.tell(session) == []
    desk.clock.now += 100
    assert desk.tell(session) == []


def test_the_second_who_comes_costs_no_aggregate() -> None:
    desk = Desk()
    desk.join("a")
    desk.work(7)
    assert desk.tell(desk.join("a")) == [7]
    assert not desk.work()
    assert desk.statistics.aggregates == {"mine": 1, "all": 0}


def test_the_cost_is_one_aggregate_for_each_owner_and_none_for_a_change() -> None:
    desk = Desk()
    sessions = [desk.join(str(number)) for number in range(5)]
    assert [len(job.ledgers) for job in desk.work(0)] == [5]
    for number in range(1000):
        desk.happen(str(number % 5))
        desk.clock.now += 0.01
        assert not desk.work()
    desk.clock.now += 1
    assert [desk.tell(session)[-1] for session in sessions] == [200] * 5
    assert desk.statistics.aggregates["mine"] == 5


def test_nobody_is_told_more_often_than_the_interval_and_the_newest_wins() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(0)
    told = desk.tell(session)
    assert told == [0]
    sent_at = desk.clock.now
    for _ in range(30):
        desk.clock.now += 0.1
        desk.happen("a")
        if sent := desk.tell(session):
            assert len(sent) == 1
            assert desk.clock.now - sent_at >= 1.0 - 1e-9
            sent_at = desk.clock.now
            told += sent
    assert told == [0, 10, 20, 30]


def test_what_came_within_the_interval_is_told_when_it_is_over() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(0)
    desk.tell(session)
    desk.happen("a")
    assert desk.tell(session) == []
    assert desk.statistics.until_telling() == pytest.approx(1.0)
    desk.clock.now += 1.0
    assert desk.statistics.until_telling() == 0.0
    assert desk.tell(session) == [1]


def test_after_a_quiet_time_a_change_is_told_at_once() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(0)
    desk.tell(session)
    desk.clock.now += 1.0
    woken = desk.woken
    desk.happen("a")
    assert desk.woken > woken
    assert desk.tell(session) == [1]


def test_a_session_that_does_not_read_has_one_message_waiting_and_it_is_the_newest() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(0)
    for _ in range(5):
        desk.happen("a")
        desk.clock.now += 1.0
        desk.statistics.tell()
    assert desk.tell(session) == [5]


def test_numbers_that_come_to_the_same_are_not_told_again() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(3)
    desk.tell(session)
    desk.clock.now += 5
    desk.happen("a", "truncate")
    desk.work(3)
    assert desk.tell(session) == []
    assert desk.statistics.told["mine"] == 1


def test_somebody_elses_changes_reach_nobody() -> None:
    desk = Desk()
    mine, other = desk.join("a"), desk.join("b")
    desk.work(0)
    assert (desk.tell(mine), desk.tell(other)) == ([0], [0])
    desk.clock.now += 5
    desk.happen("b")
    desk.happen(None)
    desk.happen("c")
    assert (desk.tell(mine), desk.tell(other)) == ([], [1])


def test_a_session_of_several_owners_gets_their_sum_and_each_owner_is_computed_once() -> None:
    desk = Desk()
    team, one = desk.join("a", "b"), desk.join("a")
    jobs = desk.work(lambda scope: {"a": 10, "b": 5}[scope.value] if scope else 0)
    assert sum(len(job.ledgers) for job in jobs) == 2
    assert (desk.tell(team), desk.tell(one)) == ([15], [10])
    desk.clock.now += 1
    desk.happen("b")
    assert (desk.tell(team), desk.tell(one)) == ([16], [])


def test_who_owns_nothing_gets_the_numbers_of_nothing() -> None:
    desk = Desk()
    session = desk.join()
    assert desk.tell(session) == [0]
    assert not desk.work()


def test_the_message_names_the_user_where_there_is_one() -> None:
    desk = Desk()
    one, two, nobody = desk.join("a"), desk.join("a", "b"), desk.join()
    desk.work(0)
    desk.statistics.tell()
    messages = [json.loads(session.take(0.0)[0].text) for session in (one, two, nobody)]
    assert [message.get("user_id") for message in messages] == ["a", None, None]
    assert {message["type"] for message in messages} == {"dashboard-stats-update"}
    assert all("id" not in message and "cursor" not in message for message in messages)


def test_admin_statistics_are_for_admins_alone_and_computed_once() -> None:
    desk = Desk(ADMIN)
    admins = [desk.join(admin=True) for _ in range(10)]
    user = desk.join("a")
    assert [len(job.ledgers) for job in desk.work(4)] == [1]
    assert [desk.tell(admin) for admin in admins] == [[4]] * 10
    assert desk.tell(user) == []
    assert desk.statistics.aggregates == {"all": 1}


def test_a_role_that_is_lost_is_heeded_at_the_moment_of_telling() -> None:
    desk = Desk(ADMIN)
    session = desk.join(admin=True)
    desk.work(4)
    session.admin = False
    assert desk.tell(session) == []
    session.admin = True
    desk.statistics.welcome(session)
    assert desk.tell(session) == [4]


def test_owners_that_are_others_now_are_told_of_at_once() -> None:
    desk = Desk()
    session = desk.join("a")
    desk.work(lambda scope: {"a": 1, "b": 2}[scope.value] if scope else 0)
    assert desk.tell(session) == [1]
    session.owners = frozenset({Owner("user", "b")})
    desk.statistics.welcome(session)
    desk.clock.now += 1
    desk.happen("a")
    assert desk.tell(session) == []
    desk.work(2)
    desk.statistics.tell()
    assert [json.loads(item.text)["data"]["executions"]["total"] for item in session.take(0.0)] == [2]


def test_topics_that_are_not_wanted_are_not_told() -> None:
    desk = Desk()
    session = desk.join("a", topics=frozenset({"executions"}))
    assert not desk.work()
    session.topics = frozenset({"mine"})
    desk.statistics.welcome(session)
    desk.work(1)
    assert desk.tell(session) == [1]
    session.topics = frozenset()
    desk.statistics.welcome(session)
    desk.clock.now += 5
    desk.happen("a")
    assert desk.tell(session) == []


def test_whoever_has_gone_is_forgotten_and_so_are_the_numbers() -> None:
    desk = Desk()
    staying, going = desk.join("a"), desk.join("b", admin=True)
    desk.work(0)
    assert desk.statistics.scopes == 3
    going.close()
    desk.clock.now += SWEEP_SECONDS
    desk.tell(staying)
    assert desk.statistics.scopes == 1
    staying.close()
    desk.statistics.sweep()
    assert desk.statistics.scopes == 0
    desk.happen("a")
    assert not desk.work()


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
    assert [len(job.ledgers) for job in desk.work(5)] == [1]
    assert desk.tell(session) == [5]


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
        st.tuples(st.just("work"), st.floats(0, 5)),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(MOVES)
def test_whoever_runs_it_never_turns_in_a_circle(moves: list[tuple[str, Any]]) -> None:
    """Where there is no job, there is none for some time; where nothing is due, nothing is for some time."""
    desk = Desk(OWNED, ADMIN, ROUGH, check_interval=30.0)
    sessions: list[Session] = []
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
        elif move == "work":
            desk.work(0, good_for=7.0, took=what)
        desk.work(0)
        desk.statistics.tell()
        assert desk.statistics.until_asking() > 0
        assert desk.statistics.until_telling() > 0
        assert all(session.waiting <= 3 for session in sessions if session.state is not State.CLOSED)
