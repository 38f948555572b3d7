"""From an event to its message: PROTOCOL's table of types and of what statuses mean."""

from decimal import Decimal
from typing import Any

import pytest

from changefeed.event import Event, Op, Owner
from changefeed.mapping import EventMapping
from changefeed.settings import ExecutionSource, TaskSource
from tests.unit.mapped import EXECUTION, MAPPING, NOTE, TASK, execution, sent
from tests.unit.transactions import EPOCH, event


def type_of(made: Event) -> str:
    kind = sent(made, "executions")["type"]
    assert isinstance(kind, str)
    return kind


STATUSES = ("pending", "running", "paused", "completed", "failed", "cancelled", None)
MEANING = {"running": "execution-started", "completed": "execution-completed", "failed": "execution-failed"}


@pytest.mark.parametrize("status", STATUSES)
def test_an_insert_with_a_status_means_what_the_status_means(status: str | None) -> None:
    assert type_of(execution("insert", status=status)) == MEANING.get(status or "", "execution-updated")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("former", STATUSES)
def test_a_change_of_status_means_what_the_new_one_means(former: str | None, status: str | None) -> None:
    if former == status:
        return
    made = execution(before={"status": former}, status=status)
    assert type_of(made) == MEANING.get(status or "", "execution-updated")
    data = sent(made, "executions")["data"]
    assert (data["previous_status"], data["status"]) == (former, status)


@pytest.mark.parametrize("status", STATUSES)
def test_a_change_of_something_else_is_an_update_whatever_the_status(status: str | None) -> None:
    made = execution(before={"progress": 5}, status=status, progress=6)
    assert type_of(made) == "execution-updated"
    assert sent(made, "executions")["data"]["previous_status"] is None


@pytest.mark.parametrize("op", ["delete", "leave"])
@pytest.mark.parametrize("status", STATUSES)
def test_deleted_is_a_delete_or_a_leave_whatever_the_status(op: Op, status: str | None) -> None:
    assert type_of(execution(op, status=status)) == "execution-deleted"


SEVERAL = EventMapping(
    {
        EXECUTION: ExecutionSource(
            running=frozenset({"running", "retrying"}),
            completed=frozenset({"completed", "skipped"}),
            failed=frozenset({"failed", "crashed"}),
        )
    }
)


@pytest.mark.parametrize(
    ("former", "status", "meaning"),
    [
        ("running", "retrying", "updated"),  # started is said of a change from a status that does not mean running
        ("failed", "retrying", "started"),
        ("retrying", "crashed", "failed"),
        ("failed", "crashed", "failed"),  # a change to such a status, from whichever
        ("completed", "skipped", "completed"),
        ("skipped", "running", "started"),
        ("running", "paused", "updated"),
    ],
)
def test_several_statuses_may_mean_the_same(former: str, status: str, meaning: str) -> None:
    made = execution(before={"status": former}, status=status)
    assert sent(made, "executions", SEVERAL)["type"] == f"execution-{meaning}"


def test_the_whole_of_an_execution() -> None:
    made = execution(
        before={"status": "running"},
        workflow_id="w1",
        status="failed",
        progress=50,
        current_node="n",
        error_message="no",
        cost_usd=Decimal("0.1200"),
        started_at="2026-01-02T03:04:05+00:00",
        completed_at=None,
        unknown="of no field",
    )
    assert sent(made, "executions") == {
        "type": "execution-failed",
        "timestamp": "2026-01-02T12:00:01.000000Z",
        "user_id": "ann",
        "id": f"{EPOCH}-1",
        "data": {
            "execution_id": "e1",
            "workflow_id": "w1",
            "status": "failed",
            "previous_status": "running",
            "progress": 50,
            "current_node": "n",
            "error_message": "no",
            "cost_usd": "0.1200",
            "started_at": "2026-01-02T03:04:05+00:00",
            "completed_at": None,
        },
    }


def test_the_whole_of_a_task() -> None:
    made = event(
        source=TASK,
        op="delete",
        key='{"id": 7}',
        data='{"id": 7, "execution_id": "e1", "agent": "a", "task_type": "t", "status": "done", "progress": 99.5,'
        ' "cost_usd": 12, "tokens": 12345, "error_message": null, "created_at": "x"}',
    )
    message = sent(made, "agent-tasks")
    assert message["type"] == "agent-task-update"
    assert message["data"] == {
        "task_id": "7",
        "execution_id": "e1",
        "agent": "a",
        "task_type": "t",
        "status": "done",
        "previous_status": None,
        "progress": 99.5,
        "cost_usd": "12",
        "tokens": 12345,
        "error_message": None,
        "deleted": True,
    }


@pytest.mark.parametrize("op", ["insert", "update", "delete", "leave"])
def test_a_task_is_deleted_by_a_delete_or_a_leave(op: Op) -> None:
    made = event(source=TASK, op=op, key='{"id": 7}', data=None if op == "leave" else '{"id": 7}')
    data = sent(made, "agent-tasks")["data"]
    assert data["deleted"] is (op in ("delete", "leave"))
    assert data["task_id"] == "7"


def test_a_leave_says_no_more_than_which_row() -> None:
    data = sent(execution("leave"), "executions")["data"]
    assert {name: value for name, value in data.items() if value is not None} == {"execution_id": "e1"}
    row = sent(event(op="leave", data=None), "rows:public.note")["data"]
    assert row == {"source": NOTE, "op": "leave", "key": {"id": 1}, "row": None, "before": None}


def test_a_leave_says_no_more_even_where_the_log_would() -> None:
    assert sent(event(op="leave", data='{"id": 1, "secret": "s"}'), "rows:public.note")["data"]["row"] is None


def test_the_key_names_the_row_where_it_is_not_among_the_watched_columns() -> None:
    made = event(source=EXECUTION, key='{"id": "e1"}', data='{"status": "running"}')
    assert sent(made, "executions")["data"]["execution_id"] == "e1"


def test_a_row_that_was_too_large_says_so_and_brings_its_key() -> None:
    partial = execution("insert", partial=True)
    assert sent(partial, "executions")["data"]["partial"] is True
    assert sent(partial, "executions")["data"]["execution_id"] == "e1"
    assert sent(partial, "executions")["type"] == "execution-updated"
    assert sent(event(source=TASK, partial=True), "agent-tasks")["data"]["partial"] is True
    assert sent(event(partial=True), "rows:public.note")["data"]["partial"] is True
    assert "partial" not in sent(event(), "rows:public.note")["data"]


def test_columns_have_the_names_that_the_settings_give_them() -> None:
    mapping = EventMapping(
        {
            "app.run": ExecutionSource(
                columns={"execution_id": "run_id", "status": "state", "cost_usd": "price"},
                running=frozenset({"3"}),
            ),
            "app.step": TaskSource(columns={"task_id": "step_id", "agent": "worker"}),
        }
    )
    run = event(
        source="app.run",
        key='{"run_id": 5}',
        data='{"run_id": 5, "state": 3, "price": 1.50, "status": "not this one"}',
        before='{"state": 2}',
    )
    message = sent(run, "executions", mapping)
    assert message["type"] == "execution-started"
    data = message["data"]
    assert (data["execution_id"], data["status"], data["previous_status"], data["cost_usd"]) == ("5", "3", "2", "1.50")
    step = event(source="app.step", key='{"step_id": 9}', data='{"step_id": 9, "worker": "w"}')
    assert sent(step, "agent-tasks", mapping)["data"]["task_id"] == "9"
    assert sent(step, "agent-tasks", mapping)["data"]["agent"] == "w"
    assert mapping.topics_of(EXECUTION) == (f"rows:{EXECUTION}",), "what the settings do not name is not typed"


def test_topics_of_a_source() -> None:
    assert MAPPING.topics_of(EXECUTION) == ("executions", f"rows:{EXECUTION}")
    assert MAPPING.topics_of(TASK) == ("agent-tasks", f"rows:{TASK}")
    assert MAPPING.topics_of(NOTE) == (f"rows:{NOTE}",)


def test_a_typed_source_has_its_rows_on_request() -> None:
    made = execution(before={"status": "running"}, status="failed")
    message = sent(made, f"rows:{EXECUTION}")
    assert message["type"] == "row-changed"
    assert message["data"] == {
        "source": EXECUTION,
        "op": "update",
        "key": {"id": "e1"},
        "row": {"id": "e1", "status": "failed"},
        "before": {"status": "running"},
    }


@pytest.mark.parametrize("op", ["insert", "update", "delete"])
def test_an_unknown_table_gives_its_row(op: Op) -> None:
    data = sent(event(op=op, data='{"id": 1, "n": [1, {"m": 0.5}]}'), f"rows:{NOTE}")["data"]
    assert data == {"source": NOTE, "op": op, "key": {"id": 1}, "row": {"id": 1, "n": [1, {"m": 0.5}]}, "before": None}


@pytest.mark.parametrize(
    ("made", "data"),
    [
        (event(op="truncate", key=None, owner=None, data=None), {"source": NOTE, "reason": "truncate"}),
        (event(op="bulk", key=None, owner=None, data='{"reason": "bulk"}'), {"source": NOTE, "reason": "bulk"}),
        (
            event(op="bulk", key=None, owner=None, data='{"reason": "bulk", "count": 7}'),
            {"source": NOTE, "reason": "bulk", "count": 7},
        ),
        (event(op="bulk", key=None, data='{"reason": "owner", "other": "bob"}'), {"source": NOTE, "reason": "owner"}),
    ],
    ids=["truncate", "bulk", "counted", "owner"],
)
def test_what_says_refetch_names_the_source_and_the_reason_alone(made: Event, data: dict[str, Any]) -> None:
    message = sent(made, f"rows:{NOTE}")
    assert (message["type"], message["data"]) == ("rows-changed", data)
    assert message.get("user_id") == (None if made.owner is None else "ann")


def test_refetch_is_said_on_the_topic_of_a_typed_source_too() -> None:
    assert sent(event(source=EXECUTION, op="truncate", key=None, data=None), "executions")["type"] == "rows-changed"


def test_an_owner_of_any_kind_is_the_user_of_the_message() -> None:
    assert sent(event(owner=Owner("org", "acme")), f"rows:{NOTE}")["user_id"] == "acme"
