"""Reading the log: what came after a snapshot, and the snapshot that comes next.

Assumes a connection of its own for as long as a call lasts, to the primary, outside of any transaction: the queries rely
on READ COMMITTED and on each being one statement. Decides nothing about epochs, floors or delivery.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from .cursor import Snapshot
from .errors import NotInstalledError
from .event import Event, Op, Owner
from .portion import Portion
from .sql import query

LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What a broken or refused connection looks like."""
MISSING = (
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)
"""What the server says where there is no log, or an older one."""

_NOTHING = (1 << 63) - 1
"""An xid that is never reached: with it a poll reads no rows."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one poll found."""

    events: tuple[Event, ...]
    snapshot: Snapshot
    """The next cursor's, unless there is `more`."""
    begun: int
    """The next transaction id, or a later one: whoever writes with it had not begun when the snapshot was taken."""
    floor: Snapshot | None
    """A cursor that does not cover it is too old."""
    epoch_id: str | None
    """The database's own name of the epoch; None where none has begun."""
    prepared: bool
    """Transactions that were prepared before the epoch began had not all ended when it did."""
    leased: bool
    """Whether capture goes on, and everybody has refetched since the last change that was not captured."""
    watch_changes: int
    """Counts the calls of watch, unwatch, pause and resume."""
    kicks: int
    """Counts the calls of kick."""
    inquiries: int
    """Counts the calls of inquire."""
    more: bool
    """There is more than the limit: these events are some of the window, not its first ones."""


@dataclass(frozen=True, slots=True)
class MissedPage:
    """Some owners' part of a window, a page of it."""

    events: tuple[Event, ...]
    snapshot: Snapshot
    """The window's end: where its reader stands after the last page."""
    floor: Snapshot | None
    epoch_id: str | None


async def poll(connection: asyncpg.Connection[Any], after: Snapshot | None, limit: int, timeout: float) -> Page:
    """What `after` could not see, at most `limit` events; with None nothing but the present snapshot.

    `timeout`: seconds. Raises NotInstalledError, asyncpg.PostgresError, OSError, TimeoutError.
    """
    try:
        rows = await connection.fetch(query("poll"), *_place(after), limit + 1, timeout=timeout)
    except MISSING as error:
        raise not_installed(error) from error
    if not rows:
        raise NotInstalledError("changefeed.state is empty. Run: changefeed migrate")
    first = rows[0]
    if first["standby"]:
        raise NotInstalledError(
            "This is a standby: it does not know which transactions are running. Connect to the primary."
        )
    found = () if first["seq"] is None else tuple(map(_event, rows))
    return Page(
        events=found[:limit],
        snapshot=Snapshot.parse(first["snapshot"]),
        begun=first["begun"],
        floor=_snapshot(first["floor"]),
        epoch_id=first["epoch_id"],
        prepared=bool(first["prepared"]),
        leased=first["leased"],
        watch_changes=first["watch_changes"],
        kicks=first["kicks"],
        inquiries=first["inquiries"],
        more=len(found) > limit,
    )


async def window(
    connection: asyncpg.Connection[Any], after: Snapshot, portion: Portion, timeout: float
) -> AsyncGenerator[tuple[Sequence[Event], Snapshot, Snapshot | None], None]:
    """Everything that `after` could not see, by seq, in pages: the events, the snapshot that comes next, and the floor.

    One snapshot holds for all pages, and for so long the transaction stays open: consume it without dawdling. No page at
    all means that nothing was there.
    """
    async with connection.transaction():
        portal = await connection.cursor(query("window"), *_place(after), timeout=timeout)
        while page := await _fetch(portal, portion, timeout):
            events, first = page
            yield events, Snapshot.parse(first["snapshot"]), _snapshot(first["floor"])


async def newest(
    connection: asyncpg.Connection[Any], at: Snapshot, limit: int, portion: Portion, timeout: float
) -> AsyncGenerator[list[Event], None]:
    """Of what `at` could see at most so many events, those of the newest transactions first, in pages of one moment.

    Whoever has enough closes it. The transaction stays open for so long, as in `window`.
    """
    async with connection.transaction():
        portal = await connection.cursor(query("newest"), str(at), limit, timeout=timeout)
        while page := await _fetch(portal, portion, timeout):
            yield page[0]


async def missed(
    connection: asyncpg.Connection[Any],
    after: Snapshot,
    owners: Sequence[Owner],
    upto: Snapshot | None,
    last_seq: int,
    limit: int,
    timeout: float,
) -> MissedPage:
    """What `after` could not see of these owners and of nobody in particular, by seq, from `last_seq` on.

    `upto`: the first page's snapshot, None for the first page. Raises asyncpg.PostgresError, OSError, TimeoutError.
    """
    values = sorted({owner.value for owner in owners})
    end = None if upto is None else str(upto)
    rows = await connection.fetch(query("missed"), *_place(after), values, end, last_seq, limit, timeout=timeout)
    first = rows[0]
    return MissedPage(
        events=() if first["seq"] is None else tuple(map(_event, rows)),
        snapshot=Snapshot.parse(first["snapshot"]),
        floor=_snapshot(first["floor"]),
        epoch_id=first["epoch_id"],
    )


async def handovers(connection: asyncpg.Connection[Any], limit: int) -> list[Event]:
    """The newest owner changes that are in the log, oldest first."""
    return [_event(row) for row in reversed(await connection.fetch(query("handovers"), limit))]


async def history(
    connection: asyncpg.Connection[Any],
    source: str,
    key: Mapping[str, str],
    owner: Owner,
    limit: int,
    timeout: float,
) -> list[Event]:
    """What there is of one row, and of its table as a whole for this owner, the newest first. Reads the whole log."""
    names, values = list(key), list(key.values())
    arguments = (source, names, values, owner.kind, owner.value, limit)
    return [_event(row) for row in await connection.fetch(query("history"), *arguments, timeout=timeout)]


def not_installed(error: Exception) -> NotInstalledError:
    """What one of `MISSING` means."""
    return NotInstalledError(
        f"The database has no changefeed schema that this release knows ({error}). Run: changefeed migrate"
    )


async def _fetch(portal: Any, portion: Portion, timeout: float) -> tuple[list[Event], asyncpg.Record] | None:
    """The next page, and its first row, which says what is true of all; None after the last one."""
    asked = portion.rows
    try:
        rows: list[asyncpg.Record] = await portal.fetch(asked, timeout=timeout)
    except TimeoutError:
        portion.late()
        raise
    events = list(map(_event, rows))
    portion.had(events, last=len(events) < asked)
    return (events, rows[0]) if rows else None


def _place(after: Snapshot | None) -> tuple[int, list[int]]:
    return (_NOTHING, []) if after is None else (after.xmax, sorted(after.xip))


def _snapshot(text: str | None) -> Snapshot | None:
    return None if text is None else Snapshot.parse(text)


def _event(row: asyncpg.Record) -> Event:
    owner = row["owner"]
    return Event(
        seq=row["seq"],
        xid=row["xid"],
        at=row["at"],
        source=row["source"],
        op=cast("Op", row["op"]),
        key=row["key"],
        owner=None if owner is None else Owner(row["owner_kind"], owner),
        data=row["data"],
        before=row["before"],
        partial=bool(row["partial"]),
        seen=_snapshot(row["seen"]),
    )
