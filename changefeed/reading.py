"""Reading the host's tables at a known place in the log: data and cursor from one snapshot.

    async with reader.open() as reading:
        rows = await reading.connection.fetch("select ...")
        header = str(reading.cursor)

Guarantees: everything that is read inside the block is as of `reading.snapshot`, nothing is written, and whoever resumes
from `reading.cursor` gets exactly what was committed after it. Assumes the primary: on a standby there is no cursor, for
there a snapshot does not know which transactions are running.

The cursor's epoch is the one that this process knew before the snapshot was taken. Read afterwards it could be one that
began in between, whose log lacks what was committed before; an epoch that has ended meanwhile is answered with a resync.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from .catalogue import Catalogue
from .cursor import Cursor, Snapshot
from .errors import NotInstalledError
from .hub import Hub
from .sql import query
from .table import Table

ACQUIRE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One transaction that reads."""

    connection: Any
    """An asyncpg connection, inside the transaction."""
    snapshot: Snapshot
    cursor: Cursor | None
    """The place in the log of what is read; None while the relay has never been connected, and on a standby."""
    watch_changes: int
    catalogue: Catalogue

    async def tables(self) -> Mapping[str, Table]:
        """The typed sources that are watched, by their name in events."""
        return await self.catalogue.tables(self.connection, self.watch_changes)

    async def under(self, table: Table) -> None:
        """From now on names mean what they mean in the table's owner expression. Statements on it must come after this."""
        path = table.search_path or "pg_catalog, public"
        await self.connection.execute("select set_config('search_path', $1, true)", path)


class Reader:
    """Opens readings on one pool."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], hub: Hub, catalogue: Catalogue) -> None:
        """The pool's connections must be in time zone UTC, with standard_conforming_strings."""
        self._pool = pool
        self._hub = hub
        self._catalogue = catalogue

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Reading]:
        """A reading. Raises NotInstalledError, asyncpg.PostgresError, OSError, TimeoutError."""
        known = self._hub.cursor
        async with (
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            try:
                row = await connection.fetchrow(query("snapshot"))
            except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedColumnError) as error:
                raise NotInstalledError(
                    f"The database has no changefeed schema that this release knows ({error}). Run: changefeed migrate"
                ) from error
            assert row is not None
            snapshot = Snapshot.parse(row["snapshot"])
            cursor = None if known is None or row["standby"] else Cursor(known.epoch, snapshot)
            yield Reading(connection, snapshot, cursor, row["watch_changes"], self._catalogue)


def host_pool(dsn: str, size: int) -> asyncpg.Pool[asyncpg.Record]:
    """The pool that the host's tables are read through, opened when it is first needed. The log's own plans by other rules."""
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=ACQUIRE_SECONDS,
        server_settings={
            "application_name": "changefeed tables",
            "timezone": "UTC",
            "standard_conforming_strings": "on",
            # A plan for one owner must not be used for another who has a thousand times as many rows.
            "plan_cache_mode": "force_custom_plan",
            # Rows that a policy hides would make the numbers wrong without a word: rather an error.
            "row_security": "off",
            "jit": "off",
            "statement_timeout": "60s",
            "idle_in_transaction_session_timeout": "60s",
        },
    )
