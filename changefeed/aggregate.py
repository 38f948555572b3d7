"""The SQL aggregates that statistics begin with, and that REST answers are: one set of queries, so that both say the same.

Each reads inside a caller's reading, and so at the place in the log that the reading has. Cost: the dashboard's, that of
the owners' own rows, found by index where the owner expression is a column or walks over parents (`ownership`); costs',
that of all rows in the days that are asked for; connectors', that of one day of calls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from . import statement
from .costs import Costs, CostTally
from .event import Event, Owner
from .figures import ConnectorFigures, ConnectorStatistics
from .message import rfc3339
from .reading import Reading
from .shape import InexpressibleError
from .sources import ConnectorTables
from .tally import DashboardTally

CONNECTORS_GOOD_FOR = 10.0
"""Seconds after which calls are counted anew although no event said so: the window moves, and calls need not be watched."""


async def dashboards(reading: Reading, owners: Collection[Owner]) -> dict[Owner, DashboardTally]:
    """What each owner's rows come to, also of those who have none."""
    tables = await reading.tables()
    shapes = {name: table.shape(statement.DASHBOARD[table.typed.kind]) for name, table in tables.items()}
    tallies = {owner: DashboardTally(shapes) for owner in owners}
    for table in tables.values():
        values = table.owners(owners)
        if not values:
            continue
        await reading.under(table)
        shape = shapes[table.source]
        for row in await reading.connection.fetch(statement.by_owner(table), values):
            tally = tallies[Owner(table.owner_kind, row["owner"])]
            if table.typed.kind == "execution":
                tally.executions.add(
                    shape, row["rows"], row["status"], row["cost"], row["timed"], int(row["microseconds"])
                )
            else:
                tally.tasks.add(row["rows"], row["status"], row["cost"], row["tokens"])
    return tallies


async def costs(reading: Reading, days: int) -> CostTally:
    """What everybody's rows of the last days cost, today's included."""
    now = await _now(reading)
    since = now.date() - timedelta(days=days - 1)
    left = 86_400 - timedelta(hours=now.hour, minutes=now.minute, seconds=now.second).total_seconds()
    tables = await reading.tables()
    shapes = {name: table.shape(statement.COSTS[table.typed.kind]) for name, table in tables.items()}
    tally = CostTally(shapes, since, left)
    for table in tables.values():
        sql = statement.by_dimension(table)
        if sql is None:
            continue
        for row in await reading.connection.fetch(sql, since.isoformat()):
            add = tally.add_executions if table.typed.kind == "execution" else tally.add_tasks
            add(row["dimension"], row["name"], Costs(row["rows"], row["cost"], row["tokens"]))
    return tally


@dataclass(frozen=True, slots=True)
class CallTally:
    """The connectors' day: a tally that no event can change, because a percentile has no delta."""

    body: ConnectorStatistics
    good_for: float | None = CONNECTORS_GOOD_FOR

    def apply(self, _event: Event) -> None:
        """See Tally."""
        raise InexpressibleError

    def differs(self, other: CallTally) -> bool:
        """See Tally."""
        return self.body != other.body


async def connectors(reading: Reading, names: ConnectorTables) -> CallTally:
    """How the connectors' calls of the last 24 hours went. Raises asyncpg.UndefinedTableError, UndefinedColumnError."""
    # To the minute, so that two readings of the same calls say the same.
    since = (await _now(reading)).replace(second=0, microsecond=0) - timedelta(hours=24)
    sql = statement.connectors(names)
    rows = await reading.connection.fetch(sql, since, sorted(names.errors), sorted(names.timeouts))
    figures = [
        ConnectorFigures(
            connector_id=row["id"],
            name=row["name"],
            provider=row["provider"],
            latency_p50_ms=_plain(row["p50"]),
            latency_p95_ms=_plain(row["p95"]),
            **_counts([row]),
        )
        for row in rows
    ]
    return CallTally(ConnectorStatistics(since=rfc3339(since), connectors=figures, **_counts(rows)))


async def _now(reading: Reading) -> datetime:
    """When the transaction began, by the database's clock, in UTC."""
    now: datetime = await reading.connection.fetchval("select now()")
    return now.astimezone(UTC)


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    calls, errors, timeouts = (sum(row[name] for row in rows) for name in ("calls", "errors", "timeouts"))
    rate = round((errors + timeouts) / calls, 6) if calls else None
    return {"calls": calls, "errors": errors, "timeouts": timeouts, "error_rate": rate}


def _plain(number: Any) -> int | float | None:
    if isinstance(number, Decimal):
        return int(number) if number == number.to_integral_value() else float(number)
    plain: int | float | None = number
    return plain
