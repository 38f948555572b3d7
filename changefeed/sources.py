"""What the host's tables mean: which of them holds executions, agent tasks or connector calls, and which column is what.

Another database's names are a change of these settings and of nothing else. Pure.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ExecutionSource(BaseModel):
    """How a table of executions becomes `execution-*` events: which column is which, which status means what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["execution"] = "execution"
    columns: dict[str, str] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `execution_id` is `id` unless said otherwise."""
    running: frozenset[str] = frozenset({"running"})
    completed: frozenset[str] = frozenset({"completed"})
    failed: frozenset[str] = frozenset({"failed"})


class TaskSource(BaseModel):
    """How a table of agent tasks becomes `agent-task-update` events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["agent-task"] = "agent-task"
    columns: dict[str, str] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `task_id` is `id` unless said otherwise;
    `created_at`, which no event has, is what lists are ordered and costs are dated by."""


TypedSource = Annotated[ExecutionSource | TaskSource, Field(discriminator="kind")]

DEFAULT_SOURCES: dict[str, TypedSource] = {
    "public.workflow_execution": ExecutionSource(),
    "public.agent_task": TaskSource(),
}

_CONNECTOR = frozenset({"id", "name", "provider"})
_CALL = frozenset({"connector_id", "status", "latency_ms", "created_at"})


class ConnectorTables(BaseModel):
    """Where calls of connectors are recorded. Neither table need be watched; the one of the calls may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connectors: str = "public.connector"
    calls: str = "public.connector_call"
    connector_columns: dict[str, str] = Field(default_factory=dict)
    """`id`, `name`, `provider` → column, where they differ."""
    call_columns: dict[str, str] = Field(default_factory=dict)
    """`connector_id`, `status`, `latency_ms`, `created_at` → column, where they differ."""
    errors: frozenset[str] = frozenset({"error"})
    """The statuses of a call that failed."""
    timeouts: frozenset[str] = frozenset({"timeout"})
    """The statuses of a call that was given up."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, columns, known in (
            ("connector_columns", self.connector_columns, _CONNECTOR),
            ("call_columns", self.call_columns, _CALL),
        ):
            if unknown := sorted(columns.keys() - known):
                raise ValueError(f"{name}: there is no {', '.join(unknown)}. Known: {', '.join(sorted(known))}")
        return self
