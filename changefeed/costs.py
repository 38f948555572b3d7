"""What everybody's agent tasks and executions cost, in the days that matter: by day, agent, task type and workflow.

The same sums as `tally`, but over all owners, and only over rows whose day is not before the first. Guarantees: what is
kept is bounded by the days, agents, task types and workflows that have rows in that time, not by the rows. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date
from decimal import Decimal
from heapq import nsmallest
from typing import Literal

from .event import Event
from .figures import AgentCosts, CostAnalytics, CostTotals, DayCosts, TaskTypeCosts, WorkflowCosts
from .shape import EXACT, ZERO, InexpressibleError, Row, Shape, money, rows_of
from .tally import signed

MOST = 50
"""Agents, task types and workflows that are told of, the most expensive ones."""

Dimension = Literal["day", "agent", "task_type", "workflow_id"]


class Costs:
    """Rows, their cost, and of tasks their tokens."""

    __slots__ = ("cost", "rows", "tokens")

    def __init__(self, rows: int = 0, cost: Decimal = ZERO, tokens: Decimal = ZERO) -> None:
        self.rows = rows
        self.cost = cost
        self.tokens = tokens

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Costs):
            return NotImplemented
        return (self.rows, self.cost, self.tokens) == (other.rows, other.cost, other.tokens)

    __hash__ = None  # type: ignore[assignment]


Groups = dict[str | None, Costs]


class CostTally:
    """Everybody's costs since a day."""

    def __init__(self, shapes: Mapping[str, Shape], since: date, good_for: float) -> None:
        """`shapes`: by source, as the tables were; `good_for`: seconds until the first day is another one."""
        self.shapes = shapes
        self.since = since
        self.good_for: float | None = good_for
        self.task_days: Groups = {}
        self.agents: Groups = {}
        self.task_types: Groups = {}
        self.execution_days: Groups = {}
        self.workflows: Groups = {}

    def apply(self, event: Event) -> None:
        """See Tally."""
        shape = self.shapes.get(event.source)
        if shape is None:
            raise InexpressibleError("the source was not there when the numbers were read")
        if event.op == "bulk" and "other" in event.values():
            # A parent has changed its owner; to whom a row belongs is nothing to its cost.
            return
        gone, come = rows_of(event)
        for row, sign in ((gone, -1), (come, 1)):
            if row is not None:
                self._add_row(shape, row, sign)

    def differs(self, other: "CostTally") -> bool:
        """See Tally. Of other days nothing can be said."""
        return self.since == other.since and self.groups() != other.groups()

    def add_tasks(self, dimension: Dimension, name: str | None, costs: Costs) -> None:
        """So many tasks of one day, agent or task type; negative ones are taken away."""
        _add({"day": self.task_days, "agent": self.agents}.get(dimension, self.task_types), name, costs)

    def add_executions(self, dimension: Dimension, name: str | None, costs: Costs) -> None:
        """So many executions of one day or workflow; negative ones are taken away."""
        _add(self.execution_days if dimension == "day" else self.workflows, name, costs)

    def figures(self) -> CostAnalytics:
        """As they are told."""
        days = sorted({*self.task_days, *self.execution_days} - {None}, key=str)
        none = Costs()
        return CostAnalytics(
            since=self.since.isoformat(),
            totals=CostTotals(**_totals(self.execution_days.values(), self.task_days.values())),
            by_day=[
                DayCosts(day=str(day), **_totals([self.execution_days.get(day, none)], [self.task_days.get(day, none)]))
                for day in days
            ],
            by_agent=[
                AgentCosts(agent=name, agent_tasks=c.rows, cost_usd=money(c.cost), tokens=int(c.tokens))
                for name, c in _dearest(self.agents)
            ],
            by_task_type=[
                TaskTypeCosts(task_type=name, agent_tasks=c.rows, cost_usd=money(c.cost), tokens=int(c.tokens))
                for name, c in _dearest(self.task_types)
            ],
            by_workflow=[
                WorkflowCosts(workflow_id=name, executions=c.rows, cost_usd=money(c.cost))
                for name, c in _dearest(self.workflows)
            ],
        )

    def _add_row(self, shape: Shape, row: Row, sign: int) -> None:
        moment = shape.moment(row, "started_at" if shape.kind == "execution" else "created_at")
        if moment is None or (day := moment.astimezone(UTC).date()) < self.since:
            return
        cost = signed(shape.number(row, "cost_usd"), sign)
        if shape.kind == "execution":
            costs = Costs(sign, cost)
            self.add_executions("day", day.isoformat(), costs)
            self.add_executions("workflow_id", shape.text(row, "workflow_id"), costs)
        else:
            costs = Costs(sign, cost, signed(shape.number(row, "tokens"), sign))
            self.add_tasks("day", day.isoformat(), costs)
            self.add_tasks("agent", shape.text(row, "agent"), costs)
            self.add_tasks("task_type", shape.text(row, "task_type"), costs)

    def groups(self) -> Sequence[Groups]:
        """All of them."""
        return (self.task_days, self.agents, self.task_types, self.execution_days, self.workflows)


def _add(groups: Groups, name: str | None, costs: Costs) -> None:
    group = groups.setdefault(name, Costs())
    group.rows += costs.rows
    group.cost = EXACT.add(group.cost, costs.cost)
    group.tokens = EXACT.add(group.tokens, costs.tokens)
    if not group.rows:
        del groups[name]


def _totals(executions: Iterable[Costs], tasks: Iterable[Costs]) -> dict[str, int | str]:
    executions, tasks = list(executions), list(tasks)
    return {
        "executions": sum(costs.rows for costs in executions),
        "execution_cost_usd": money(_sum(costs.cost for costs in executions)),
        "agent_tasks": sum(costs.rows for costs in tasks),
        "agent_task_cost_usd": money(_sum(costs.cost for costs in tasks)),
        "tokens": int(_sum(costs.tokens for costs in tasks)),
    }


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _dearest(groups: Groups) -> list[tuple[str | None, Costs]]:
    return nsmallest(MOST, groups.items(), key=lambda pair: (EXACT.minus(pair[1].cost), pair[0] is None, pair[0] or ""))
