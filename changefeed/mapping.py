"""From an event of the log to the message that a client gets, by configuration.

Which table is one of executions or of agent tasks, which column holds what, and which status means started, completed or
failed, is said by the settings; a table that they do not name gives `row-changed`. Nothing here knows a table's name.
A value that a typed message cannot hold becomes null rather than an error: the row exists, and its owner must hear of it.
Pure: no I/O.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

from . import changes
from .event import Event
from .message import Message, rfc3339
from .settings import ExecutionSource, TypedSource

EXECUTIONS = "executions"
AGENT_TASKS = "agent-tasks"
ROWS = "rows:"

_LARGEST = Decimal("1e308")
"""What a JSON number can be."""
_EXACT = 1 << 53
"""Beyond it a browser's numbers skip integers."""
_AMOUNT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

_EXECUTIONS: dict[str, Callable[..., Message]] = {
    "started": changes.ExecutionStarted,
    "completed": changes.ExecutionCompleted,
    "failed": changes.ExecutionFailed,
    "updated": changes.ExecutionUpdated,
    "deleted": changes.ExecutionDeleted,
}


class EventMapping:
    """The mapping of one configuration."""

    def __init__(self, sources: Mapping[str, TypedSource]) -> None:
        self._sources = dict(sources)

    def topics_of(self, source: str) -> tuple[str, ...]:
        """The topics that carry this source, the usual one first; a typed one has its rows on request as well."""
        typed = self._sources.get(source)
        if typed is None:
            return (ROWS + source,)
        return (EXECUTIONS if isinstance(typed, ExecutionSource) else AGENT_TASKS, ROWS + source)

    def message(self, event: Event, topic: str, epoch: str) -> Message:
        """The message of `topic` for this event, without a cursor. `error` events are none of this method's."""
        common: dict[str, Any] = {"timestamp": rfc3339(event.at), "id": f"{epoch}-{event.seq}"}
        if event.owner is not None:
            common["user_id"] = event.owner.value
        if event.op in ("bulk", "truncate"):
            return changes.RowsChanged(type="rows-changed", **common, data=_rows(event))
        typed = None if topic.startswith(ROWS) else self._sources.get(event.source)
        if typed is None:
            return changes.RowChanged(type="row-changed", **common, data=_row(event))
        if isinstance(typed, ExecutionSource):
            return _execution(typed, event, common)
        return _task(typed, event, common)


def _rows(event: Event) -> changes.RowsData:
    values = event.values()
    reason: Literal["bulk", "truncate", "owner"] = "truncate"
    if event.op == "bulk":
        reason = "owner" if values.get("reason") == "owner" else "bulk"
    if isinstance(values.get("count"), int):
        return changes.RowsData(source=event.source, reason=reason, count=values["count"])
    return changes.RowsData(source=event.source, reason=reason)


def _row(event: Event) -> changes.RowData:
    assert event.op in ("insert", "update", "delete", "leave"), event.op
    op: Any = event.op
    key = _plain(event.key_values())
    row = None if event.op == "leave" or event.data is None else _plain(event.values())
    before = None if event.before is None else _plain(event.former())
    if event.partial:
        return changes.RowData(source=event.source, op=op, key=key, row=row, before=before, partial=True)
    return changes.RowData(source=event.source, op=op, key=key, row=row, before=before)


def _execution(source: ExecutionSource, event: Event, common: dict[str, Any]) -> Message:
    fields = _Fields(event, source.columns, "execution_id")
    data: dict[str, Any] = {
        "execution_id": fields.identifier("execution_id"),
        "workflow_id": fields.identifier("workflow_id"),
        "status": fields.text("status"),
        "previous_status": fields.previous_status(),
        "progress": fields.number("progress"),
        "current_node": fields.text("current_node"),
        "error_message": fields.text("error_message"),
        "cost_usd": fields.money("cost_usd"),
        "started_at": fields.text("started_at"),
        "completed_at": fields.text("completed_at"),
    }
    if event.partial:
        data["partial"] = True
    meaning = _meaning(source, event.op, data["status"], fields.changed("status"), data["previous_status"])
    return _EXECUTIONS[meaning](type=f"execution-{meaning}", **common, data=changes.ExecutionData(**data))


def _meaning(source: ExecutionSource, op: str, status: str | None, changed: bool, previous: str | None) -> str:
    if op in ("delete", "leave"):
        return "deleted"
    # An insert, also the one by which a row enters a new owner's sight, is a change from no status at all.
    if op != "insert" and not changed:
        return "updated"
    if status in source.running:
        return "updated" if previous in source.running else "started"
    if status in source.completed:
        return "completed"
    return "failed" if status in source.failed else "updated"


def _task(source: TypedSource, event: Event, common: dict[str, Any]) -> Message:
    fields = _Fields(event, source.columns, "task_id")
    data: dict[str, Any] = {
        "task_id": fields.identifier("task_id"),
        "execution_id": fields.identifier("execution_id"),
        "agent": fields.text("agent"),
        "task_type": fields.text("task_type"),
        "status": fields.text("status"),
        "previous_status": fields.previous_status(),
        "progress": fields.number("progress"),
        "cost_usd": fields.money("cost_usd"),
        "tokens": fields.number("tokens"),
        "error_message": fields.text("error_message"),
        "deleted": event.op in ("delete", "leave"),
    }
    if event.partial:
        data["partial"] = True
    return changes.AgentTaskUpdate(type="agent-task-update", **common, data=changes.TaskData(**data))


class _Fields:
    """The members of a typed message, found by the names that the settings give their columns."""

    def __init__(self, event: Event, columns: Mapping[str, str], identity: str) -> None:
        self._values = event.key_values() | event.values()
        self._former = event.former()
        self._columns = {identity: "id"} | dict(columns)

    def _value(self, field: str) -> Any:
        return self._values.get(self._columns.get(field, field))

    def identifier(self, field: str) -> str | None:
        return self.text(field)

    def text(self, field: str) -> str | None:
        return _text(self._value(field))

    def number(self, field: str) -> int | float | None:
        value = self._value(field)
        if isinstance(value, Decimal):
            return float(value) if abs(value) < _LARGEST else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def money(self, field: str) -> str | None:
        text = _text(self._value(field))
        return text if text is not None and _AMOUNT.fullmatch(text) else None

    def changed(self, field: str) -> bool:
        return self._columns.get(field, field) in self._former

    def previous_status(self) -> str | None:
        return _text(self._former.get(self._columns.get("status", "status")))


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return None if value is None or isinstance(value, dict | list) else str(value)


def _plain(value: Any) -> Any:
    """Without Decimals: in a row of unknown meaning a number is a JSON number, unless that would change its digits."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, Decimal):
        number = float(value)
        return number if Decimal(repr(number)) == value else f"{value:f}"
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    return value
