"""Who is told what, and when: the pure half of the statistics, with the time passed in and answers made up."""

import json

import pytest

from changefeed.event import Owner
from changefeed.statistics import SWEEP_SECONDS, TOLD
from tests.statistics.desk import ADMIN, OWNED, Desk


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


def test_ten_thousand_are_not_told_in_one_go() -> None:
    desk = Desk()
    sessions = [desk.join(str(number)) for number in range(TOLD + 1)]
    desk.work(0)
    desk.statistics.tell()
    assert sum(session.waiting for session in sessions) == TOLD
    assert desk.statistics.until_telling() == 0.0
    desk.statistics.tell()
    assert [session.waiting for session in sessions] == [1] * (TOLD + 1)


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


@pytest.mark.parametrize(
    "change", [{"admin": False}, {"topics": frozenset()}, {"owners": frozenset({Owner("user", "b")})}]
)
def test_what_waits_and_may_not_be_seen_any_more_is_withdrawn(change: dict[str, object]) -> None:
    desk = Desk(ADMIN if "admin" in change else OWNED)
    session = desk.join("a", admin=True)
    desk.work(4)
    desk.statistics.tell()
    assert session.waiting == 1
    for name, value in change.items():
        setattr(session, name, value)
    desk.statistics.welcome(session)
    assert desk.tell(session) == []


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
