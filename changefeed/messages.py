"""Every message on the wire, as Pydantic models: the source of what is published about the protocol.

A message is `{"type", "timestamp", "user_id"?, "id"?, "cursor"?, "data"}`. The optional members are left out where they do
not apply, never null; members of `data` are always there, null where unknown. Pure: the time is passed in.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Number = int | float
Outcome = Literal["fresh", "replayed", "resync"]
Mode = Literal["log", "state"]
ResyncReason = Literal["retention", "epoch", "capture-error", "too-much", "lagging"]


def rfc3339(at: datetime) -> str:
    """UTC with microseconds, `2026-01-02T03:04:05.000006Z`. `at` must know its time zone."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Payload(BaseModel):
    """What stands in `data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(BaseModel):
    """What every message has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timestamp: str
    user_id: str | None = None
    id: str | None = None
    cursor: str | None = None

    def text(self) -> str:
        """As JSON, without the members that were not given."""
        return self.model_dump_json(exclude_unset=True)


# What changed


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


# Statistics and administration: numbers, newest wins


class StatusCounts(Payload):
    total: int
    by_status: dict[str, int]


class ExecutionStatistics(StatusCounts):
    success_rate: float | None
    avg_duration_seconds: float | None
    cost_usd: str


class TaskStatistics(StatusCounts):
    tokens: int
    cost_usd: str


class DashboardStatistics(Payload):
    executions: ExecutionStatistics
    agent_tasks: TaskStatistics


class DashboardStatsUpdate(Message):
    type: Literal["dashboard-stats-update"] = "dashboard-stats-update"
    data: DashboardStatistics


class SystemMetricsUpdate(Message):
    type: Literal["system-metrics-update"] = "system-metrics-update"
    data: dict[str, Any]


class CostAnalyticsUpdate(Message):
    type: Literal["cost-analytics-update"] = "cost-analytics-update"
    data: dict[str, Any]


class ConnectorStatsUpdate(Message):
    type: Literal["connector-stats-update"] = "connector-stats-update"
    data: dict[str, Any]


# The session


class Limits(Payload):
    max_message_bytes: int
    buffer_messages: int
    buffer_bytes: int


class Server(Payload):
    version: str
    epoch: str


class ReadyData(Payload):
    outcome: Outcome
    user_id: str
    admin: bool
    topics: list[str]
    mode: Mode
    min_interval: int
    token_expires_at: str
    limits: Limits
    server: Server


class Ready(Message):
    type: Literal["ready"] = "ready"
    data: ReadyData


class Subscribed(Message):
    type: Literal["subscribed"] = "subscribed"
    data: ReadyData


class Empty(Payload):
    pass


class Pong(Message):
    type: Literal["pong"] = "pong"
    data: Empty


class Heartbeat(Message):
    type: Literal["heartbeat"] = "heartbeat"
    data: Empty


class ResyncData(Payload):
    reason: ResyncReason
    sources: list[str] | None
    spread_ms: int


class Resync(Message):
    type: Literal["resync"] = "resync"
    data: ResyncData


class ConflatedData(Payload):
    count: int


class Conflated(Message):
    type: Literal["conflated"] = "conflated"
    data: ConflatedData


class TokenExpiringData(Payload):
    expires_at: str


class TokenExpiring(Message):
    type: Literal["token-expiring"] = "token-expiring"
    data: TokenExpiringData


class ReconnectData(Payload):
    after_ms: int


class Reconnect(Message):
    type: Literal["reconnect"] = "reconnect"
    data: ReconnectData


class ErrorData(Payload):
    code: str
    message: str
    retry: bool


class Error(Message):
    type: Literal["error"] = "error"
    data: ErrorData


ServerMessage = Annotated[
    ExecutionStarted
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionUpdated
    | ExecutionDeleted
    | AgentTaskUpdate
    | RowChanged
    | RowsChanged
    | DashboardStatsUpdate
    | SystemMetricsUpdate
    | CostAnalyticsUpdate
    | ConnectorStatsUpdate
    | Ready
    | Subscribed
    | Pong
    | Heartbeat
    | Resync
    | Conflated
    | TokenExpiring
    | Reconnect
    | Error,
    Field(discriminator="type"),
]
"""Everything a server may send, told apart by `type`."""

server_message: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
