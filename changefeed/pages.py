"""Lists of some owners' rows, the newest first, a page at a time, each row in the shape in which its events have it.

Guarantees: a page holds nobody else's rows, whatever place it begins after: a place is a value to compare with, and
nothing more. Rows that are there all the time, unchanged in what they are ordered by, come exactly once, however many are
added meanwhile. Cost: the owners' own rows, not the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from . import statement
from .errors import ChangefeedError
from .event import Event, Owner
from .mapping import EventMapping
from .message import Payload
from .reading import Reading
from .table import Table

_NEVER = datetime.fromtimestamp(0, UTC)

Place = Sequence[str | None]
"""Of a row in its list: what it is ordered by, as texts."""


class PlaceError(ChangefeedError):
    """A text that is no place in this list."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, as event data, and the place of the last one; None: no more come."""

    items: list[Payload]
    next: Place | None


async def page(
    reading: Reading,
    table: Table,
    mapping: EventMapping,
    owners: Collection[Owner],
    *,
    filters: Mapping[str, Collection[str]],
    limit: int,
    after: Place | None,
) -> Page:
    """The rows after a place. `filters`: by field, the values that it may have.

    Raises PlaceError, asyncpg.PostgresError, OSError, TimeoutError.
    """
    members = len(table.key) + (statement.newest_column(table) is not None)
    if after is not None and (len(after) != members or None in after[-len(table.key) :]):
        raise PlaceError("after: this is no place in this list. Send back what `next` said, unchanged.")
    texts = [table.owners(owners)]
    for field, wanted in filters.items():
        column = table.column(field)
        texts.append([] if column is None else column.possible(wanted))
    if not all(texts):
        return Page([], None)
    await reading.under(table)
    sql = statement.page(table, filters=list(filters), after=after)
    parameters: list[Any] = [texts[0], limit + 1, *texts[1:]]
    parameters += [member for member in after or () if member is not None]
    try:
        rows = await reading.connection.fetch(sql, *parameters)
    except asyncpg.DataError as error:
        raise PlaceError("after: this is no place in this list. Send back what `next` said, unchanged.") from error
    return Page(
        items=[_item(table, mapping, row["data"]) for row in rows[:limit]],
        next=list(rows[limit - 1]["place"]) if len(rows) > limit else None,
    )


def _item(table: Table, mapping: EventMapping, data: str) -> Payload:
    """What an event of the row says in its data: made by the same mapping, so that the two cannot part."""
    event = Event(0, 0, _NEVER, table.source, "update", None, None, data, None, partial=False)
    topic, *_ = mapping.topics_of(table.source)
    item: Payload = mapping.message(event, topic, "").data  # type: ignore[attr-defined]
    return item
