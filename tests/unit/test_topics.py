"""Topics: which there are, what somebody receives who names none, and what is refused and how."""

import pytest

from changefeed.errors import TopicError
from changefeed.mapping import EventMapping
from changefeed.settings import DEFAULT_SOURCES, ExecutionSource
from changefeed.topics import ADMIN, DASHBOARD_STATS, chosen, visible

MAPPING = EventMapping(DEFAULT_SOURCES)
WATCHED = ("public.workflow_execution", "public.note")
STATISTICS = ("system-metrics", "dashboard-stats")


def test_everything_is_the_usual_topic_of_each_source_and_the_statistics_one_may_see() -> None:
    assert visible(MAPPING, WATCHED, STATISTICS, admin=False) == ["executions", "rows:public.note", "dashboard-stats"]
    assert visible(MAPPING, WATCHED, STATISTICS, admin=True) == [
        "executions",
        "rows:public.note",
        "dashboard-stats",
        "system-metrics",
    ]


def test_two_tables_of_executions_are_one_topic() -> None:
    mapping = EventMapping({"public.a": ExecutionSource(), "public.b": ExecutionSource()})
    assert visible(mapping, ["public.a", "public.b"], (), admin=False) == ["executions"]


def test_nothing_is_visible_where_nothing_is_watched() -> None:
    assert visible(MAPPING, (), (), admin=True) == []


@pytest.mark.parametrize("wanted", [[], ["executions"], ["rows:public.workflow_execution", "dashboard-stats"]])
def test_what_exists_and_may_be_seen_is_chosen(wanted: list[str]) -> None:
    assert chosen(wanted, MAPPING, WATCHED, STATISTICS, admin=False) == frozenset(wanted)


@pytest.mark.parametrize("topic", ADMIN)
def test_an_admin_topic_is_forbidden_to_others_whether_it_is_computed_or_not(topic: str) -> None:
    with pytest.raises(TopicError, match="for administrators") as refused:
        chosen([topic], MAPPING, WATCHED, STATISTICS, admin=False)
    assert refused.value.code == "topic-forbidden"


def test_an_admin_gets_the_admin_topics_that_are_computed() -> None:
    assert chosen(["system-metrics"], MAPPING, WATCHED, STATISTICS, admin=True) == {"system-metrics"}
    with pytest.raises(TopicError) as refused:
        chosen(["cost-analytics"], MAPPING, WATCHED, STATISTICS, admin=True)
    assert refused.value.code == "topic-unknown"


def test_one_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(TopicError) as refused:
        chosen(["executions", "agent-tasks"], MAPPING, WATCHED, STATISTICS, admin=True)
    assert refused.value.code == "topic-unknown"
    assert str(refused.value) == (
        "There is no topic agent-tasks. Known: dashboard-stats, executions, rows:public.note,"
        " rows:public.workflow_execution, system-metrics."
    )


def test_who_is_no_admin_is_not_told_of_the_admin_topics() -> None:
    with pytest.raises(TopicError) as refused:
        chosen(["nothing"], MAPPING, WATCHED, ["system-metrics", DASHBOARD_STATS], admin=False)
    assert "system-metrics" not in str(refused.value)
    assert DASHBOARD_STATS in str(refused.value)


def test_of_a_table_that_is_not_watched_it_is_asked_whether_it_should_be() -> None:
    with pytest.raises(TopicError, match="Is the table watched"):
        chosen(["rows:public.other"], MAPPING, WATCHED, STATISTICS, admin=False)


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(TopicError) as refused:
        chosen(["x" * 5000], MAPPING, WATCHED, STATISTICS, admin=False)
    assert len(str(refused.value)) < 300
