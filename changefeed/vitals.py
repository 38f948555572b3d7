"""How the host, the database and changefeed itself are doing: read once for everybody who looks.

Guarantees: however many ask, one reading is under way at a time, and one that is young enough is handed out again. Rates
are those between the last two readings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .cursor import Cursor, Snapshot
from .event import Event
from .figures import DatabaseMetrics, FeedMetrics, SystemMetrics
from .hub import Hub
from .machine import Ticks, host, ticks
from .message import rfc3339
from .pulse import Pulse
from .reading import Reader
from .shape import InexpressibleError
from .sql import query


@dataclass(frozen=True, slots=True)
class Vital:
    """One reading: a tally that no event changes, and that is soon too old."""

    body: SystemMetrics
    snapshot: Snapshot
    cursor: Cursor | None
    good_for: float | None

    def apply(self, _event: Event) -> None:
        """See Tally."""
        raise InexpressibleError

    def differs(self, other: Vital) -> bool:
        """See Tally."""
        return self.body != other.body


@dataclass(frozen=True, slots=True)
class _Counts:
    """What rates are made of."""

    at: datetime
    ticks: Ticks | None
    transactions: int
    last_seq: int


class Vitals:
    """One process's readings."""

    def __init__(
        self,
        reader: Reader,
        hub: Hub,
        pulse: Pulse,
        interval: float,
        clock: Callable[[], float],
        drift: Callable[[], int],
    ) -> None:
        """`reader`: on the log's pool. `interval`: seconds for which a reading is good. `drift`: its count so far."""
        self._reader = reader
        self._hub = hub
        self._pulse = pulse
        self._interval = interval
        self._clock = clock
        self._drift = drift
        self._lock = asyncio.Lock()
        self._newest: Vital | None = None
        self._read_at = float("-inf")
        self._counts: _Counts | None = None
        self.readings = 0

    async def now(self) -> Vital:
        """A reading that is good. Raises NotInstalledError, asyncpg.PostgresError, OSError, TimeoutError."""
        async with self._lock:
            if self._newest is None or self._clock() - self._read_at >= self._interval:
                self._newest = await self._read()
                self._read_at = self._clock()
            return self._newest

    async def _read(self) -> Vital:
        async with self._reader.open() as reading:
            row = await reading.connection.fetchrow(query("system_metrics"))
        self.readings += 1
        before, self._counts = self._counts, _Counts(row["at"], ticks(), row["transactions"], row["last_seq"])
        return Vital(
            body=SystemMetrics(
                sampled_at=rfc3339(row["at"]),
                host=host(before.ticks if before else None, self._counts.ticks),
                database=_database(row, before, self._counts),
                changefeed=self._feed(row, before, self._counts),
            ),
            snapshot=reading.snapshot,
            cursor=reading.cursor,
            good_for=self._interval,
        )

    def _feed(self, row: Any, before: _Counts | None, now: _Counts) -> FeedMetrics:
        pulse = self._pulse
        return FeedMetrics(
            live=pulse.live,
            leading=pulse.leading,
            relays=row["relays"],
            sessions=len(self._hub),
            lag_seconds=round(max(0.0, self._clock() - pulse.looked_at), 3) if pulse.looks else None,
            log_bytes=row["log_bytes"],
            events_per_second=None if before is None else _rate(before.last_seq, now.last_seq, before, now),
            capture_errors=row["capture_errors"],
            statistics_drift=self._drift(),
        )


def _database(row: Any, before: _Counts | None, now: _Counts) -> DatabaseMetrics:
    blocks = row["blks_hit"] + row["blks_read"]
    return DatabaseMetrics(
        name=row["name"],
        version=row["version"],
        size_bytes=row["size_bytes"],
        connections=row["connections"],
        max_connections=row["max_connections"],
        transactions_per_second=None if before is None else _rate(before.transactions, now.transactions, before, now),
        cache_hit_ratio=round(row["blks_hit"] / blocks, 4) if blocks else None,
        notification_queue_usage=row["queue_usage"],
    )


def _rate(former: int, present: int, before: _Counts, now: _Counts) -> float | None:
    """A second. None where the counter began anew, as after a crash."""
    seconds = (now.at - before.at).total_seconds()
    return round((present - former) / seconds, 2) if seconds > 0 and present >= former else None
