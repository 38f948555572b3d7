"""What is watched: the list of captured tables with the state of their triggers, and the two calls that change it.

`changefeed.watch` and `changefeed.unwatch` in SQL do the work; any migration tool can call them. Assumes a connection
whose role owns the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from .sql import query

VERSION = 1
"""Of the trigger functions that this release writes: `watch` again what has another one."""
TRIGGERS = 4
"""On each watched table: insert, update, delete, truncate."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One captured table."""

    source: str
    owner: str
    owner_kind: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    bulk_rows: int
    fail_closed: bool
    paused: bool
    version: int
    triggers: int
    enabled: int
    parents_silent: int = 0
    """Triggers that are gone or disabled on the tables that the owner expression reads."""
    dropped: bool = False
    """The table is no more."""

    @property
    def problem(self) -> str | None:
        """Why changes of this table do not reach the log, or not its owner.

        None where they do, where it is paused on purpose, and where there is no table any more whose changes could.
        """
        if self.dropped:
            return None
        if self.triggers < TRIGGERS:
            return f"{self.source}: {TRIGGERS - self.triggers} of its triggers are gone; watch the table again"
        if self.enabled < TRIGGERS and not self.paused:
            return f"{self.source}: its triggers are disabled; call changefeed.resume('{self.source}')"
        if self.parents_silent and not self.paused:
            return (
                f"{self.source}: {self.parents_silent} triggers on the tables that its owner expression reads are gone or"
                " disabled, so changes of owners are not seen; watch the table again"
            )
        return None


async def watches(connection: asyncpg.Connection[Any], timeout: float | None = None) -> tuple[Watch, ...]:
    """All of them, by name."""
    rows = await connection.fetch(query("watches"), timeout=timeout)
    return tuple(
        Watch(
            source=row["source"],
            owner=row["owner"],
            owner_kind=row["owner_kind"],
            key=tuple(row["key"]),
            columns=tuple(row["columns"]),
            bulk_rows=row["bulk_rows"],
            fail_closed=row["fail_closed"],
            paused=row["paused"],
            version=row["version"],
            triggers=row["triggers"],
            enabled=row["enabled"],
            parents_silent=row["parents_silent"],
            dropped=row["dropped"],
        )
        for row in rows
    )


async def watch(
    connection: asyncpg.Connection[Any],
    table: str,
    owner: str,
    *,
    columns: Sequence[str] | None = None,
    owner_kind: str = "user",
    bulk_rows: int = 10_000,
    fail_closed: bool = False,
) -> str:
    """Capture a table from now on. Returns its name as it stands in events. Raises asyncpg.PostgresError."""
    source: str = await connection.fetchval(
        "select changefeed.watch($1::text::regclass, $2, $3, $4, $5, $6)",
        table,
        owner,
        None if columns is None else list(columns),
        owner_kind,
        bulk_rows,
        fail_closed,
    )
    return source


async def unwatch(connection: asyncpg.Connection[Any], table: str) -> bool:
    """Capture it no longer. Returns whether it was watched. Raises asyncpg.PostgresError."""
    return bool(await connection.fetchval("select changefeed.unwatch($1::text::regclass)", table))
