"""The messages that carry statistics: numbers of which only the newest matter."""

from typing import Any, Literal

from .message import Message, Payload


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
