"""Where in an event's data a statistic finds what it adds up, and how a value there is read.

The same reading as the SQL of `statement` does, column by column, so that a running sum and an aggregate come to the same.
A field that the table lacks, that is not watched, or whose type cannot be added up, counts as absent on both sides. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, Literal

from .event import Event

EXACT = Context(prec=200_000)
"""More digits than a numeric can have: the default of 28 would round a sum that Postgres does not round."""
ZERO = Decimal(0)

Row = Mapping[str, Any]


class InexpressibleError(Exception):
    """What happened cannot be said as rows to add and to take away: the tables must be asked."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One source. `columns`: field → column, of the fields that can be read."""

    kind: Literal["execution", "agent-task"]
    columns: Mapping[str, str]
    completed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    def text(self, row: Row, field: str) -> str | None:
        """As Postgres writes it."""
        value = self._value(row, field)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:f}" if isinstance(value, Decimal) else str(value)

    def number(self, row: Row, field: str) -> Decimal:
        """Zero for what is no number: null, NaN, infinity."""
        value = self._value(row, field)
        if isinstance(value, Decimal):
            return value
        return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else ZERO

    def moment(self, row: Row, field: str) -> datetime | None:
        """With its time zone; UTC where the column has none. Raises ValueError for years that Python does not know."""
        value = self._value(row, field)
        if not isinstance(value, str) or value in ("infinity", "-infinity"):
            return None
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment

    def _value(self, row: Row, field: str) -> Any:
        column = self.columns.get(field)
        return None if column is None else row.get(column)


def rows_of(event: Event) -> tuple[Row | None, Row | None]:
    """The row that goes and the row that comes. Raises InexpressibleError, ValueError."""
    if event.partial or event.op not in ("insert", "update", "delete", "leave") or event.data is None:
        raise InexpressibleError(event.op)
    row = event.key_values() | event.values()
    if event.op == "insert":
        return None, row
    if event.op == "update":
        return row | event.former(), row
    return row, None


def money(amount: Decimal) -> str:
    """As a decimal text without trailing zeros: a sum that went up and down again has the digits it had before."""
    return f"{EXACT.normalize(amount):f}" if amount else "0"
