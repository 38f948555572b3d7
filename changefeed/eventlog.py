"""Reading the log: what came after a snapshot, and the snapshot that comes next.

Assumes a connection of its own for as long as a call lasts, to the primary, outside of any transaction: the queries rely
on READ COMMITTED and on each being one statement. Decides nothing about epochs, floors or delivery.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from .cursor import Snapshot
from .errors import NotInstalledError
from .event import Event, Op, Owner
from .sql import query


_NOTHING = (1 << 63) - 1
"""An xid that is never reached: with it a poll reads no rows."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one poll found."""

    events: tuple[Event, ...]
    snapshot: Snapshot
    """The next cursor's, unless there is `more`."""
    floor: Snapshot | None
    """A cursor that does not cover it is too old."""
    epoch_id: str | None
    """The database's own name of the epoch; None where none has begun."""
    watch_changes: int
    """Counts the calls of watch, unwatch, pause and resume."""
    more: bool
    """There is more than the limit: these events are some of the window, not its first ones."""


async def poll(connection: asyncpg.Connection[Any], after: Snapshot | None, limit: int) -> Page:
    """What `after` could not see, at most `limit` events; with None nothing but the present snapshot.

    Raises NotInstalledError, asyncpg.PostgresError, OSError.
    """
    try:
        rows = await connection.fetch(query("poll"), *_place(after), limit + 1)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedColumnError) as error:
        raise NotInstalledError(
            f"The database has no changefeed schema that this release knows ({error}). Run: changefeed migrate"
        ) from error
    if not rows or rows[0]["standby"]:
        raise NotInstalledError(
            "This is a standby: it does not know which transactions are running. Connect to the primary."
            if rows
            else "changefeed.state is empty. Run: changefeed migrate"
        )
    first = rows[0]
    found = () if first["seq"] is None else tuple(_event(row) for row in rows)
    return Page(
        events=found[:limit],
        snapshot=Snapshot.parse(first["snapshot"]),
        floor=None if first["floor"] is None else Snapshot.parse(first["floor"]),
        epoch_id=first["epoch_id"],
        watch_changes=first["watch_changes"],
        more=len(found) > limit,
    )


async def window(
    connection: asyncpg.Connection[Any], after: Snapshot, page_rows: int
) -> AsyncIterator[tuple[Sequence[Event], Snapshot | None]]:
    """Everything that `after` could not see, by seq, in pages; the snapshot comes with the last page, which may be empty.

    One snapshot holds for all pages, and for so long the transaction stays open: consume it without dawdling.
    """
    async with connection.transaction():
        portal = await connection.cursor(query("window"), *_place(after))
        snapshot: Snapshot | None = None
        while rows := await portal.fetch(page_rows):
            snapshot = Snapshot.parse(rows[0]["snapshot"])
            yield [_event(row) for row in rows], None
        yield [], snapshot or after


def _place(after: Snapshot | None) -> tuple[int, list[int]]:
    return (_NOTHING, []) if after is None else (after.xmax, sorted(after.xip))


def _event(row: asyncpg.Record) -> Event:
    owner = row["owner"]
    return Event(
        seq=row["seq"],
        xid=row["xid"],
        at=row["at"],
        source=row["source"],
        op=cast(Op, row["op"]),
        key=row["key"],
        owner=None if owner is None else Owner(row["owner_kind"], owner),
        data=row["data"],
        before=row["before"],
        partial=bool(row["partial"]),
        seen=None if row["seen"] is None else Snapshot.parse(row["seen"]),
    )
