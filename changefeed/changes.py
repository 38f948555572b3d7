"""The messages that say what changed, each made from one row of the log."""

from typing import Any, Literal

from .message import Message, Number, Payload


class ExecutionData(Payload):
    execution_id: str | None
    workflow_id: str | None
    status: str | None
    previous_status: str | None
    progress: Number | None
    current_node: str | None
    error_message: str | None
    cost_usd: str | None
    started_at: str | None
    completed_at: str | None
    partial: bool | None = None
    """True where the row was too large to be sent: refetch it by its id."""


class ExecutionStarted(Message):
    type: Literal["execution-started"] = "execution-started"
    data: ExecutionData


class ExecutionCompleted(Message):
    type: Literal["execution-completed"] = "execution-completed"
    data: ExecutionData


class ExecutionFailed(Message):
    type: Literal["execution-failed"] = "execution-failed"
    data: ExecutionData


class ExecutionUpdated(Message):
    type: Literal["execution-updated"] = "execution-updated"
    data: ExecutionData


class ExecutionDeleted(Message):
    type: Literal["execution-deleted"] = "execution-deleted"
    data: ExecutionData


class TaskData(Payload):
    task_id: str | None
    execution_id: str | None
    agent: str | None
    task_type: str | None
    status: str | None
    previous_status: str | None
    progress: Number | None
    cost_usd: str | None
    tokens: Number | None
    error_message: str | None
    deleted: bool
    partial: bool | None = None


class AgentTaskUpdate(Message):
    type: Literal["agent-task-update"] = "agent-task-update"
    data: TaskData


class RowData(Payload):
    source: str
    op: Literal["insert", "update", "delete", "leave"]
    key: dict[str, Any]
    row: dict[str, Any] | None
    before: dict[str, Any] | None
    partial: bool | None = None


class RowChanged(Message):
    type: Literal["row-changed"] = "row-changed"
    data: RowData


class RowsData(Payload):
    source: str
    reason: Literal["bulk", "truncate", "owner"]
    count: int | None = None


class RowsChanged(Message):
    type: Literal["rows-changed"] = "rows-changed"
    data: RowsData
