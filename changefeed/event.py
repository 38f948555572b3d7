"""One change of one row, as the log holds it, and a batch of them.

Immutable. `key`, `data` and `before` stay JSON texts until somebody needs them: most events of a busy database belong to
nobody who is connected, and are never parsed. Numbers become `Decimal`, so that money keeps its digits.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from .cursor import Cursor, Snapshot

Op = Literal["insert", "update", "delete", "leave", "bulk", "truncate", "error"]


class Owner(NamedTuple):
    """Who may see a row: `kind` keeps users and, say, organisations apart."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Event:
    """One row of `changefeed.event`."""

    seq: int
    xid: int
    """The transaction that wrote it: what tells whether a snapshot includes it."""
    at: datetime
    """When the row was written, by the server's clock."""
    source: str
    """The table, `schema.table`."""
    op: Op
    key: str | None
    owner: Owner | None
    """None: nobody; for bulk, truncate and error: whoever may see the source."""
    data: str | None
    before: str | None
    partial: bool
    """The row was too large: `data` is the key alone."""
    seen: Snapshot | None = None
    """What the writer could see, where that is not what had committed when it wrote (repeatable read)."""

    def values(self) -> dict[str, Any]:
        """The watched columns: the new values; of a delete, the former ones; of a leave, the key alone."""
        return parsed(self.data or self.key)

    def key_values(self) -> dict[str, Any]:
        """The primary key."""
        return parsed(self.key)

    def former(self) -> dict[str, Any]:
        """The former values of the watched columns that changed."""
        return parsed(self.before)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in the order in which a client should see them."""

    events: tuple[Event, ...]
    cursor: Cursor | None
    """The place after the last event; None within a window that is read in pages, which has no place to stop at."""
    begun: int | None = None
    """The next transaction id when the place was taken, or a later one; None: the snapshot's xmax, as of a quiet database."""


def parsed(text: str | None) -> dict[str, Any]:
    """A JSON object's members, numbers with a fraction as Decimal; empty for None."""
    if text is None:
        return {}
    try:
        members: dict[str, Any] = json.loads(text, parse_float=Decimal)
    except ValueError:
        # Python refuses integers of more than 4300 digits, which a numeric column may hold.
        members = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return members
