"""Every message that a server sends, as Pydantic models: the source of what is published about the protocol.

Here stand those of the session itself; what changed is in `changes`, statistics are in `figures`.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from .changes import (
    AgentTaskUpdate,
    ExecutionCompleted,
    ExecutionDeleted,
    ExecutionFailed,
    ExecutionStarted,
    ExecutionUpdated,
    RowChanged,
    RowsChanged,
)
from .figures import ConnectorStatsUpdate, CostAnalyticsUpdate, DashboardStatsUpdate, SystemMetricsUpdate
from .message import Message, Payload

Outcome = Literal["fresh", "replayed", "resync"]
Mode = Literal["log", "state"]
ResyncReason = Literal["retention", "epoch", "capture-error", "too-much", "lagging"]


class Limits(Payload):
    max_message_bytes: int
    max_messages_per_minute: int
    buffer_messages: int
    buffer_bytes: int
    max_replay: int


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
    token_expires_at: str | None
    """None: never, which only a host with an authentication of its own can say."""
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
    retry_after: int | None = None
    """Seconds, where the client is to come back later."""


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
