"""A watched table as the catalog has it now, beside what was said when it was watched; and its rows as the capture sees them.

Assumes a connection as the role that owns the schema. Reads only: everything that runs an owner expression does so in a
READ ONLY transaction, with the search path that the capture runs it with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..sql import query


@dataclass(frozen=True, slots=True)
class Watched:
    """One table."""

    id: int
    source: str
    relation: int
    name: str | None
    """As SQL writes it; None where the table is gone."""
    owner: str
    owner_kind: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    parents: tuple[int, ...]
    bulk_rows: int
    fail_closed: bool
    paused: bool
    version: int
    functions: Mapping[str, str]
    """Its trigger functions, with the digest of each one's body when it was written."""
    watched_at: Any
    types: Mapping[str, str]
    """The columns that there are now, in their order, with their types."""
    present_key: tuple[str, ...]
    path: str | None
    triggers: int
    enabled: int

    @property
    def owner_expression(self) -> str:
        """Over the row alias r."""
        return f"(r.{quoted(self.owner)})" if self.owner in self.types else f"({self.owner})"

    @property
    def lost(self) -> list[str]:
        """Columns that were watched, or are the key's, and are there no more."""
        return [name for name in dict.fromkeys((*self.key, *self.columns)) if name not in self.types]

    @property
    def unwatched(self) -> list[str]:
        """Columns whose changes alone are not captured."""
        return [name for name in self.types if name not in self.columns and name not in self.key]


async def watched(connection: Any, table: str | None = None) -> list[Watched]:
    """How tables are watched, one or all. Raises asyncpg.PostgresError."""
    return [_watched(row) for row in await connection.fetch(query("watched"), table)]


def _watched(row: Any) -> Watched:
    members = dict(row)
    present, types = members.pop("present"), members.pop("types")
    members["types"] = dict(zip(present, types, strict=True))
    members["functions"] = json.loads(members["functions"])
    for name in ("key", "columns", "parents", "present_key"):
        members[name] = tuple(members[name] or ())
    return Watched(**members)


def quoted(name: str) -> str:
    """An identifier, as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
