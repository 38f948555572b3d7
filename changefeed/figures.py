"""The messages that carry statistics, and their bodies, which REST answers carry too: numbers of which only the newest matter.

Money is a decimal text without trailing zeros; a share is between 0 and 1; what cannot be said (a share of nothing, a rate
before the second reading) is null.
"""

from typing import Literal

from .message import Message, Number, Payload


class StatusCounts(Payload):
    total: int
    by_status: dict[str, int]
    """Statuses that no row has are left out, and so are rows without a status."""


class ExecutionStatistics(StatusCounts):
    success_rate: float | None
    """Completed ones among those that completed or failed."""
    avg_duration_seconds: float | None
    """Of those that have both a start and an end."""
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


class HostMetrics(Payload):
    """Of the machine that this process runs on. Null: the system does not say."""

    name: str
    cpu_count: int
    cpu_percent: float | None
    load_1m: float | None
    load_5m: float | None
    load_15m: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    disk_total_bytes: int
    disk_used_bytes: int


class DatabaseMetrics(Payload):
    name: str
    version: str
    size_bytes: int
    connections: int
    max_connections: int
    transactions_per_second: float | None
    cache_hit_ratio: float | None
    notification_queue_usage: float


class FeedMetrics(Payload):
    """Of changefeed itself. `sessions`, `leading`, `lag_seconds` and `statistics_drift` are this process's own."""

    live: bool
    leading: bool
    relays: int
    """Processes whose relay is connected to the database."""
    sessions: int
    lag_seconds: float | None
    """Since the log was last looked at."""
    log_bytes: int
    events_per_second: float | None
    capture_errors: int
    statistics_drift: int
    """Running numbers that were found to differ from what the tables say, and were corrected."""


class SystemMetrics(Payload):
    sampled_at: str
    host: HostMetrics
    database: DatabaseMetrics
    changefeed: FeedMetrics


class SystemMetricsUpdate(Message):
    type: Literal["system-metrics-update"] = "system-metrics-update"
    data: SystemMetrics


class CostTotals(Payload):
    executions: int
    execution_cost_usd: str
    agent_tasks: int
    agent_task_cost_usd: str
    tokens: int


class DayCosts(CostTotals):
    day: str


class AgentCosts(Payload):
    agent: str | None
    agent_tasks: int
    cost_usd: str
    tokens: int


class TaskTypeCosts(Payload):
    task_type: str | None
    agent_tasks: int
    cost_usd: str
    tokens: int


class WorkflowCosts(Payload):
    workflow_id: str | None
    executions: int
    cost_usd: str


class CostAnalytics(Payload):
    """Agent tasks by when they were created, executions by when they started; never added up, for one may include the other."""

    since: str
    """The first day, in UTC."""
    totals: CostTotals
    by_day: list[DayCosts]
    """Oldest first; days without anything are left out."""
    by_agent: list[AgentCosts]
    """The most expensive first, and so with the next two. At most 50."""
    by_task_type: list[TaskTypeCosts]
    by_workflow: list[WorkflowCosts]


class CostAnalyticsUpdate(Message):
    type: Literal["cost-analytics-update"] = "cost-analytics-update"
    data: CostAnalytics


class CallCounts(Payload):
    calls: int
    errors: int
    timeouts: int
    error_rate: float | None
    """Errors and timeouts among the calls."""


class ConnectorFigures(CallCounts):
    connector_id: str
    name: str | None
    provider: str | None
    latency_p50_ms: Number | None
    latency_p95_ms: Number | None


class ConnectorStatistics(CallCounts):
    since: str
    """A whole minute, 24 hours ago."""
    connectors: list[ConnectorFigures]
    """By name; those without calls too."""


class ConnectorStatsUpdate(Message):
    type: Literal["connector-stats-update"] = "connector-stats-update"
    data: ConnectorStatistics
