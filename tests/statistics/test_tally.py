"""The sums by themselves: exact, reversible, and read from events as Postgres writes them."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.costs import Costs, CostTally
from changefeed.event import Event, Op, Owner
from changefeed.shape import InexpressibleError, Shape, money, rows_of
from changefeed.tally import DashboardTally, dashboard

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EXECUTIONS = Shape(
    "execution",
    {name: name for name in ("status", "cost_usd", "started_at", "completed_at", "workflow_id")},
    completed=frozenset({"completed", "done"}),
    failed=frozenset({"failed"}),
)
TASKS = Shape("agent-task", {n: n for n in ("status", "cost_usd", "tokens", "agent", "task_type", "created_at")})
SHAPES = {"public.e": EXECUTIONS, "public.t": TASKS}


def event(
    op: Op,
    source: str = "public.e",
    data: dict[str, Any] | str | None = None,
    before: dict[str, Any] | None = None,
    partial: bool = False,
    owner: Owner | None = None,
) -> Event:
    text = data if isinstance(data, str) or data is None else json.dumps(data)
    former = None if before is None else json.dumps(before)
    return Event(1, 1, NOW, source, op, '{"id": 1}', owner, text, former, partial=partial)


def after(*events: Event) -> dict[str, Any]:
    tally = DashboardTally(SHAPES)
    for happened in events:
        tally.apply(happened)
    return dashboard([tally]).model_dump()


def test_a_row_that_comes_changes_and_goes_leaves_nothing_behind() -> None:
    row = {"status": "running", "cost_usd": 0.1, "started_at": "2026-11-25T01:00:00+00:00", "completed_at": None}
    done = row | {"status": "done", "cost_usd": 0.35, "completed_at": "2026-11-25T04:00:01.5+02:00"}
    came, changed = (
        event("insert", data=row),
        event("update", data=done, before={k: row[k] for k in done if row[k] != done[k]}),
    )
    assert after(came)["executions"] == {
        "total": 1, "by_status": {"running": 1}, "success_rate": None, "avg_duration_seconds": None, "cost_usd": "0.1",
    }  # fmt: skip
    assert after(came, changed)["executions"] == {
        "total": 1, "by_status": {"done": 1}, "success_rate": 1.0, "avg_duration_seconds": 3601.5, "cost_usd": "0.35",
    }  # fmt: skip
    assert after(came, changed, event("delete", data=done)) == after()


def test_shares_and_averages_of_nothing_are_null() -> None:
    assert after()["executions"] == {
        "total": 0, "by_status": {}, "success_rate": None, "avg_duration_seconds": None, "cost_usd": "0",
    }  # fmt: skip
    failed = event("insert", data={"status": "failed"})
    assert after(failed)["executions"]["success_rate"] == 0.0


@pytest.mark.parametrize(
    "happened",
    [
        event("update", data={"id": 1}, partial=True),
        event("leave", data=None),
        event("bulk", data={"reason": "bulk"}),
        event("truncate"),
        event("error", data={"message": "no"}),
        event("insert", source="public.other", data={}),
        event("insert", data={"started_at": "12345-01-01T00:00:00+00:00", "completed_at": None}),
        event("insert", data={"started_at": "0044-03-15T00:00:00+00:00 BC", "completed_at": None}),
    ],
)
def test_what_an_event_does_not_say_in_full_is_refused(happened: Event) -> None:
    with pytest.raises((InexpressibleError, ValueError)):
        DashboardTally(SHAPES).apply(happened)


def test_a_leave_that_says_what_the_row_was_is_as_good_as_a_delete() -> None:
    row = {"status": "running", "cost_usd": 1}
    assert after(event("insert", data=row), event("leave", data=row)) == after()


def test_values_are_read_as_postgres_writes_them() -> None:
    shape = Shape("execution", {name: name for name in "abcdefgh"})
    row = json.loads(
        '{"a": "x", "b": true, "c": 12, "d": 1.50, "e": "NaN", "f": null, "g": 0.0000001, "h": "infinity"}',
        parse_float=Decimal,
    )
    assert [shape.text(row, name) for name in "abcdfg"] == ["x", "true", "12", "1.50", None, "0.0000001"]
    assert [shape.number(row, name) for name in "abcdefz"] == [0, 0, 12, Decimal("1.5"), 0, 0, 0]
    assert shape.moment(row, "h") is shape.moment(row, "f") is shape.moment(row, "z") is None
    moments = {
        "2026-11-25T01:28:47.12+00:00": datetime(2026, 11, 25, 1, 28, 47, 120_000, UTC),
        "2026-11-25T01:28:47": datetime(2026, 11, 25, 1, 28, 47, tzinfo=UTC),
        "2026-11-25": NOW,
    }
    for text, moment in moments.items():
        assert shape.moment({"a": text}, "a") == moment


def test_the_former_row_is_the_new_one_with_what_changed_put_back() -> None:
    gone, come = rows_of(event("update", data={"a": 1, "b": 2}, before={"a": None}))
    assert (gone, come) == ({"id": 1, "a": None, "b": 2}, {"id": 1, "a": 1, "b": 2})


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0.00", "0"),
        ("-0.0", "0"),
        ("12.3400", "12.34"),
        ("100", "100"),
        ("1e3", "1000"),
        ("-0.50", "-0.5"),
    ],
)
def test_money_has_no_zeros_at_its_end(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text


AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=30, min_value=-(10**40), max_value=10**40)
ROWS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["running", "completed", "failed", None]),
        "cost_usd": AMOUNTS,
        "started_at": st.datetimes().map(lambda at: at.isoformat() + "+00:00"),
        "completed_at": st.none() | st.datetimes().map(lambda at: at.isoformat() + "+00:00"),
    }
)


def written(row: dict[str, Any]) -> str:
    texts = (
        f'"{name}": {value:f}' if isinstance(value, Decimal) else f'"{name}": {json.dumps(value)}'
        for name, value in row.items()
    )
    return "{" + ", ".join(texts) + "}"


@given(st.lists(ROWS, max_size=8), st.randoms())
def test_the_order_of_changes_does_not_matter_and_no_digit_is_lost(rows: Sequence[dict[str, Any]], dice: Any) -> None:
    gone, left = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    events = [event("insert", data=written(row)) for row in rows] + [event("delete", data=written(row)) for row in gone]
    dice.shuffle(events)
    mixed, plain = DashboardTally(SHAPES), DashboardTally(SHAPES)
    for happened in events:
        mixed.apply(happened)
    for row in left:
        plain.apply(event("insert", data=written(row)))
    assert not mixed.differs(plain)
    assert dashboard([mixed]) == dashboard([plain])


def test_owners_are_added_up() -> None:
    one, other = DashboardTally(SHAPES), DashboardTally(SHAPES)
    one.apply(event("insert", data={"status": "completed", "cost_usd": 1}))
    other.apply(event("insert", data={"status": "failed", "cost_usd": 2}))
    other.apply(event("insert", source="public.t", data={"status": "failed", "tokens": 5}))
    both = dashboard([one, other])
    assert (both.executions.total, both.executions.success_rate, both.executions.cost_usd) == (2, 0.5, "3")
    assert both.agent_tasks.tokens == 5
    assert one.executions.total == 1, "adding up changes nobody's own numbers"


def test_a_difference_that_rounding_would_hide_is_one() -> None:
    one, other = DashboardTally(SHAPES), DashboardTally(SHAPES)
    for tally, microseconds in ((one, 10**15), (other, 10**15 + 1)):
        tally.executions.add(EXECUTIONS, 10**6, "x", Decimal(0), 10**6, microseconds)
    assert dashboard([one]) == dashboard([other])
    assert one.differs(other)


def costs(*events: Event) -> CostTally:
    tally = CostTally(SHAPES, date(2026, 11, 1), 60.0)
    for happened in events:
        tally.apply(happened)
    return tally


def task(day: str, **more: Any) -> dict[str, Any]:
    return {"created_at": f"{day}T12:00:00+00:00", "agent": "a", "task_type": "t", "cost_usd": 1, "tokens": 10} | more


def test_costs_are_those_of_the_days_that_count() -> None:
    tally = costs(
        event("insert", "public.t", task("2026-10-31")),
        event("insert", "public.t", task("2026-11-01")),
        event("insert", "public.t", task("2026-11-02", created_at="2026-11-02T23:00:00-02:00", agent=None)),
        event("insert", "public.e", {"started_at": "2026-11-02T00:00:00+00:00", "workflow_id": "w", "cost_usd": 2.5}),
        event("insert", "public.e", {"started_at": None, "workflow_id": "w", "cost_usd": 9}),
    )
    figures = tally.figures()
    assert [(day.day, day.agent_tasks, day.executions) for day in figures.by_day] == [
        ("2026-11-01", 1, 0), ("2026-11-02", 0, 1), ("2026-11-03", 1, 0),
    ]  # fmt: skip
    assert figures.totals.model_dump() == {
        "executions": 1, "execution_cost_usd": "2.5", "agent_tasks": 2, "agent_task_cost_usd": "2", "tokens": 20,
    }  # fmt: skip
    assert [(agent.agent, agent.agent_tasks) for agent in figures.by_agent] == [("a", 1), (None, 1)]
    assert [(flow.workflow_id, flow.cost_usd) for flow in figures.by_workflow] == [("w", "2.5")]


def test_a_row_may_come_into_the_days_that_count_and_leave_them() -> None:
    old, new = task("2026-10-31"), task("2026-11-05")
    into = event("update", "public.t", new, before={"created_at": old["created_at"]})
    out = event("update", "public.t", old, before={"created_at": new["created_at"]})
    assert costs(event("insert", "public.t", old), into).figures().totals.agent_tasks == 1
    gone = costs(event("insert", "public.t", old), into, out)
    assert gone.figures() == costs().figures()
    assert not gone.differs(costs()), "nothing is kept of what is gone"


def test_an_owner_change_of_a_parent_costs_nothing_but_an_event_that_hides_a_change_must_be_asked_for() -> None:
    owner = Owner("user", "u")
    costs(event("bulk", data={"reason": "owner", "other": "v"}, owner=owner))
    with pytest.raises(InexpressibleError):
        costs(event("bulk", data={"reason": "owner"}, owner=owner))


def test_the_most_expensive_come_first_and_only_so_many_are_told_of() -> None:
    tally = costs()
    for number in range(120):
        tally.add_tasks("agent", f"a{number:03}", Costs(1, Decimal(number % 60)))
    told = [agent.agent for agent in tally.figures().by_agent]
    assert told[:4] == ["a059", "a119", "a058", "a118"]
    assert len(told) == 50


def test_other_days_are_no_drift() -> None:
    later = CostTally(SHAPES, date(2026, 11, 2), 60.0)
    now = costs(event("insert", "public.t", task("2026-11-01")))
    assert not now.differs(later)
    assert now.differs(costs())
