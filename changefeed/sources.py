"""What the host's tables mean: which of them holds executions, agent tasks or connector calls, and which column is what.

Another database's names are a change of these settings and of nothing else. What they say of a field or a status that does
not exist, or exists twice, is refused: it would be a column that is silently looked for in vain. Pure.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

FIELDS: Mapping[str, tuple[str, ...]] = {
    "execution": (
        "execution_id", "workflow_id", "status", "progress", "current_node", "error_message", "cost_usd", "started_at",
        "completed_at",
    ),
    "agent-task": (
        "task_id", "execution_id", "agent", "task_type", "status", "progress", "cost_usd", "tokens", "error_message",
        "created_at",
    ),
}  # fmt: skip
"""The fields of each kind of source, whose columns the settings may name."""


def _of(fields: Collection[str]) -> AfterValidator:
    """Only these fields have columns."""

    def check(columns: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(columns.keys() - set(fields)):
            known = ", ".join(sorted(fields))
            raise ValueError(
                f"there is no {', '.join(unknown)}. A field comes first, its column after it; known: {known}"
            )
        if unnamed := sorted(field for field, column in columns.items() if not column):
            raise ValueError(f"the column of {', '.join(unnamed)} is empty. Name it, or leave the field out")
        return columns

    return AfterValidator(check)


def _table(name: str) -> str:
    schema, dot, table = name.partition(".")
    if not (schema and dot and table):
        raise ValueError(
            f"{name!r} is no table. Write its schema as well, as in public.{name.strip('.') or 'my_table'}"
        )
    return name


TableName = Annotated[str, AfterValidator(_table)]
"""`schema.table`."""


class ExecutionSource(BaseModel):
    """How a table of executions becomes `execution-*` events: which column is which, which status means what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["execution"] = "execution"
    columns: Annotated[dict[str, str], _of(FIELDS["execution"])] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `execution_id` is `id` unless said otherwise."""
    running: frozenset[str] = frozenset({"running"})
    completed: frozenset[str] = frozenset({"completed"})
    failed: frozenset[str] = frozenset({"failed"})

    @model_validator(mode="after")
    def _of_one_meaning(self) -> Self:
        meanings = Counter([*self.running, *self.completed, *self.failed])
        if ambiguous := sorted(status for status, count in meanings.items() if count > 1):
            raise ValueError(
                f"{', '.join(ambiguous)}: a status means one of running, completed and failed. Take it out of the others"
            )
        return self


class TaskSource(BaseModel):
    """How a table of agent tasks becomes `agent-task-update` events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["agent-task"] = "agent-task"
    columns: Annotated[dict[str, str], _of(FIELDS["agent-task"])] = Field(default_factory=dict)
    """Field of the event → column of the table, where they differ. `task_id` is `id` unless said otherwise;
    `created_at`, which no event has, is what lists are ordered and costs are dated by."""


TypedSource = Annotated[ExecutionSource | TaskSource, Field(discriminator="kind")]

DEFAULT_SOURCES: dict[str, TypedSource] = {
    "public.workflow_execution": ExecutionSource(),
    "public.agent_task": TaskSource(),
}

_CONNECTOR = ("id", "name", "provider")
_CALL = ("connector_id", "status", "latency_ms", "created_at")


class ConnectorTables(BaseModel):
    """Where calls of connectors are recorded. Neither table need be watched; the one of the calls may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connectors: TableName = "public.connector"
    calls: TableName = "public.connector_call"
    connector_columns: Annotated[dict[str, str], _of(_CONNECTOR)] = Field(default_factory=dict)
    """`id`, `name`, `provider` → column, where they differ."""
    call_columns: Annotated[dict[str, str], _of(_CALL)] = Field(default_factory=dict)
    """`connector_id`, `status`, `latency_ms`, `created_at` → column, where they differ."""
    errors: frozenset[str] = frozenset({"error"})
    """The statuses of a call that failed."""
    timeouts: frozenset[str] = frozenset({"timeout"})
    """The statuses of a call that was given up."""
