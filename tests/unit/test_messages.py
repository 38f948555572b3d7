"""Messages have the shape that PROTOCOL.md says: what is in them, what is left out, and what a reader may rely on."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from changefeed import changes, figures, messages
from changefeed.message import Message, Payload, rfc3339
from changefeed.messages import server_message

AT = "2026-01-02T03:04:05.000006Z"

TYPES = {
    "ready", "subscribed", "pong", "heartbeat", "resync", "conflated", "token-expiring", "reconnect", "error",
    "execution-started", "execution-completed", "execution-failed", "execution-updated", "execution-deleted",
    "agent-task-update", "row-changed", "rows-changed",
    "dashboard-stats-update", "system-metrics-update", "cost-analytics-update", "connector-stats-update",
}  # fmt: skip

EXECUTION = {
    "execution_id": "e",
    "workflow_id": "w",
    "status": "running",
    "previous_status": None,
    "progress": 5,
    "current_node": None,
    "error_message": None,
    "cost_usd": "0.1200",
    "started_at": None,
    "completed_at": None,
}


def test_a_time_is_utc_with_microseconds() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == AT
    assert rfc3339(datetime(2026, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))) == AT
    assert rfc3339(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z"


def test_every_type_of_the_protocol_has_its_model_and_no_other_has() -> None:
    union = get_args(get_args(messages.ServerMessage)[0])
    assert {get_args(model.model_fields["type"].annotation)[0] for model in union} == TYPES
    assert len(union) == len(TYPES)


def test_every_model_of_a_message_can_be_sent() -> None:
    union = set(get_args(get_args(messages.ServerMessage)[0]))
    declared = {
        model
        for module in (changes, figures, messages)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, Message) and model is not Message
    }
    assert declared == union


@pytest.mark.parametrize("model", Message.__subclasses__(), ids=lambda model: model.__name__)
def test_a_message_names_its_type_has_data_and_takes_nothing_else(model: type[Message]) -> None:
    assert set(model.model_fields) == {"type", "timestamp", "user_id", "id", "cursor", "data"}
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"]


def test_optional_members_are_left_out_and_members_of_data_are_not() -> None:
    data = changes.ExecutionData.model_validate(EXECUTION)
    message = changes.ExecutionStarted(type="execution-started", timestamp=AT, user_id="u", id="x-1", data=data)
    assert json.loads(message.text()) == {
        "type": "execution-started",
        "timestamp": AT,
        "user_id": "u",
        "id": "x-1",
        "data": EXECUTION,
    }


def test_what_marks_a_message_stands_only_where_it_is_so() -> None:
    plain = changes.RowsData(source="public.t", reason="truncate")
    counted = changes.RowsData(source="public.t", reason="bulk", count=3)
    assert json.loads(changes.RowsChanged(type="rows-changed", timestamp=AT, data=plain).text())["data"] == {
        "source": "public.t",
        "reason": "truncate",
    }
    assert json.loads(changes.RowsChanged(type="rows-changed", timestamp=AT, data=counted).text())["data"]["count"] == 3
    partial = changes.ExecutionData.model_validate(EXECUTION | {"partial": True})
    assert json.loads(partial.model_dump_json(exclude_unset=True))["partial"] is True


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "pong", "data": {}},
        {"type": "heartbeat", "cursor": "0123456789abcdef.5.0", "data": {}},
        {"type": "resync", "data": {"reason": "lagging", "sources": None, "spread_ms": 5}},
        {"type": "resync", "data": {"reason": "capture-error", "sources": ["public.t"], "spread_ms": 0}},
        {"type": "conflated", "data": {"count": 3}},
        {"type": "token-expiring", "data": {"expires_at": AT}},
        {"type": "reconnect", "data": {"after_ms": 100}},
        {"type": "error", "data": {"code": "message-invalid", "message": "No.", "retry": False}},
        {"type": "error", "data": {"code": "too-many", "message": "No.", "retry": True, "retry_after": 5}},
        {"type": "execution-failed", "user_id": "u", "id": "x-1", "data": EXECUTION},
        {"type": "rows-changed", "data": {"source": "public.t", "reason": "owner"}},
        {"type": "row-changed", "data": {"source": "t", "op": "leave", "key": {"id": 1}, "row": None, "before": None}},
    ],
    ids=lambda sent: sent["type"],
)
def test_a_message_reads_back_as_it_was_sent(sent: dict[str, Any]) -> None:
    sent = {"timestamp": AT} | sent
    assert json.loads(server_message.validate_python(sent).text()) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "resync", "timestamp": AT, "data": {"reason": "tired", "sources": None, "spread_ms": 5}},
        {"type": "rows-changed", "timestamp": AT, "data": {"source": "t", "reason": "error"}},
        {
            "type": "row-changed",
            "timestamp": AT,
            "data": {"source": "t", "op": "bulk", "key": {}, "row": None, "before": None},
        },
        {"type": "pong", "timestamp": AT, "data": {"more": 1}},
        {"type": "pong", "timestamp": AT},
        {"type": "pang", "timestamp": AT, "data": {}},
    ],
    ids=lambda wrong: wrong["type"],
)
def test_what_the_protocol_does_not_know_is_no_message(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        server_message.validate_python(wrong)


def test_the_statistics_have_the_shape_of_the_rest_answer() -> None:
    body = {
        "executions": {
            "total": 3,
            "by_status": {"running": 1, "failed": 2},
            "success_rate": None,
            "avg_duration_seconds": 1.5,
            "cost_usd": "0.30",
        },
        "agent_tasks": {"total": 0, "by_status": {}, "tokens": 0, "cost_usd": "0"},
    }
    data = figures.DashboardStatistics.model_validate(body)
    message = figures.DashboardStatsUpdate(type="dashboard-stats-update", timestamp=AT, user_id="u", data=data)
    assert json.loads(message.text())["data"] == body


def test_members_of_data_have_no_defaults_but_for_the_marks() -> None:
    optional = {
        (model.__name__, name)
        for model in Payload.__subclasses__()
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    assert optional == {
        ("ExecutionData", "partial"),
        ("TaskData", "partial"),
        ("RowData", "partial"),
        ("RowsData", "count"),
        ("ErrorData", "retry_after"),
    }
