"""What one owner's executions and agent tasks come to: sums that a change is added to, or taken from.

Guarantees: integers and exact decimals only, so that the order of changes does not matter, and any history ends at the
numbers that SQL gives for the rows that are left. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Protocol

from .event import Event
from .figures import DashboardStatistics, ExecutionStatistics, TaskStatistics
from .shape import EXACT, ZERO, InexpressibleError, Row, Shape, money, rows_of

_MICROSECOND = timedelta(microseconds=1)


class Tally(Protocol):
    """Numbers that were read from the tables, and follow the events since."""

    @property
    def good_for(self) -> float | None:
        """Seconds after which they must be read anew whatever happens; None: never."""

    def apply(self, event: Event) -> None:
        """Follow one event. Raises InexpressibleError, ValueError, ArithmeticError: then these numbers are worth nothing."""

    def differs(self, other: Any) -> bool:
        """Whether these and others of the same kind say different things of the same rows."""


class ExecutionSums:
    """Sums over some executions. Every amount may be negative: what is taken away."""

    def __init__(self) -> None:
        self.total = 0
        self.statuses: Counter[str] = Counter()
        self.completed = 0
        self.failed = 0
        self.timed = 0
        """Executions that have both a start and an end."""
        self.microseconds = 0
        """That these took, together."""
        self.cost = ZERO

    def add(self, shape: Shape, rows: int, status: str | None, cost: Decimal, timed: int, microseconds: int) -> None:
        """So many rows of one status, and what they come to."""
        self.total += rows
        if status is not None:
            self.statuses[status] += rows
        self.completed += rows * (status in shape.completed)
        self.failed += rows * (status in shape.failed)
        self.timed += timed
        self.microseconds += microseconds
        self.cost = EXACT.add(self.cost, cost)

    def add_row(self, shape: Shape, row: Row, sign: int) -> None:
        """One row, or with a negative sign one row less. Raises ValueError."""
        started, completed = shape.moment(row, "started_at"), shape.moment(row, "completed_at")
        timed = microseconds = 0
        if started is not None and completed is not None:
            timed, microseconds = sign, sign * ((completed - started) // _MICROSECOND)
        self.add(
            shape, sign, shape.text(row, "status"), signed(shape.number(row, "cost_usd"), sign), timed, microseconds
        )

    def include(self, other: "ExecutionSums") -> None:
        """Somebody else's executions as well."""
        self.total += other.total
        self.statuses.update(other.statuses)
        self.completed += other.completed
        self.failed += other.failed
        self.timed += other.timed
        self.microseconds += other.microseconds
        self.cost = EXACT.add(self.cost, other.cost)

    def figures(self) -> ExecutionStatistics:
        """As they are told."""
        ended = self.completed + self.failed
        return ExecutionStatistics(
            total=self.total,
            by_status=_counts(self.statuses),
            success_rate=self.completed / ended if ended else None,
            avg_duration_seconds=round(self.microseconds / self.timed / 1_000_000, 6) if self.timed else None,
            cost_usd=money(self.cost),
        )


class TaskSums:
    """The same over agent tasks."""

    def __init__(self) -> None:
        self.total = 0
        self.statuses: Counter[str] = Counter()
        self.tokens = ZERO
        self.cost = ZERO

    def add(self, rows: int, status: str | None, cost: Decimal, tokens: Decimal) -> None:
        """So many rows of one status, and what they come to."""
        self.total += rows
        if status is not None:
            self.statuses[status] += rows
        self.cost = EXACT.add(self.cost, cost)
        self.tokens = EXACT.add(self.tokens, tokens)

    def add_row(self, shape: Shape, row: Row, sign: int) -> None:
        """One row, or with a negative sign one row less."""
        cost, tokens = shape.number(row, "cost_usd"), shape.number(row, "tokens")
        self.add(sign, shape.text(row, "status"), signed(cost, sign), signed(tokens, sign))

    def include(self, other: "TaskSums") -> None:
        """Somebody else's agent tasks as well."""
        self.total += other.total
        self.statuses.update(other.statuses)
        self.cost = EXACT.add(self.cost, other.cost)
        self.tokens = EXACT.add(self.tokens, other.tokens)

    def figures(self) -> TaskStatistics:
        """As they are told."""
        return TaskStatistics(
            total=self.total, by_status=_counts(self.statuses), tokens=int(self.tokens), cost_usd=money(self.cost)
        )


class DashboardTally:
    """One owner's numbers."""

    good_for = None

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        """`shapes`: by source, as the tables were when the numbers were read."""
        self.shapes = shapes
        self.executions = ExecutionSums()
        self.tasks = TaskSums()

    def apply(self, event: Event) -> None:
        """See Tally."""
        shape = self.shapes.get(event.source)
        if shape is None:
            raise InexpressibleError("the source was not there when the numbers were read")
        sums = self.executions if shape.kind == "execution" else self.tasks
        gone, come = rows_of(event)
        if gone is not None:
            sums.add_row(shape, gone, -1)
        if come is not None:
            sums.add_row(shape, come, 1)

    def differs(self, other: "DashboardTally") -> bool:
        """See Tally."""
        mine, theirs = self.executions, other.executions
        # The average is compared by what it is made of: rounded, it could hide a difference.
        if (mine.timed, mine.microseconds) != (theirs.timed, theirs.microseconds):
            return True
        return dashboard([self]) != dashboard([other])


def dashboard(tallies: Iterable[DashboardTally]) -> DashboardStatistics:
    """What some owners' rows come to together. No row has two owners, so nothing is counted twice."""
    executions, tasks = ExecutionSums(), TaskSums()
    for tally in tallies:
        executions.include(tally.executions)
        tasks.include(tally.tasks)
    return DashboardStatistics(executions=executions.figures(), agent_tasks=tasks.figures())


def signed(amount: Decimal, sign: int) -> Decimal:
    """The amount, or what takes it away."""
    # A plain minus would round to 28 digits.
    return amount if sign > 0 else EXACT.minus(amount)


def _counts(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts) if counts[name]}
