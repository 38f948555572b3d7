"""The typed sources as they are in the database now, read once and again when the watches have changed.

Guarantees: what is returned was true in the caller's own snapshot, as far as watching goes; a column that was added,
dropped or changed since is noticed when a statement fails, and then by `forget`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import asyncpg

from .sources import TypedSource
from .sql import query
from .statement import identifier
from .table import Column, Table

STALE = (asyncpg.SyntaxOrAccessError, asyncpg.InvalidCachedStatementError)
"""What a statement that was made for other columns fails with."""
LACKING = (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError)
"""What a statement fails with where the settings name what is not there."""


class Catalogue:
    """One process's knowledge of the host's tables."""

    def __init__(self, sources: Mapping[str, TypedSource]) -> None:
        self._sources = dict(sources)
        self._tables: dict[str, Table] = {}
        self._watch_changes: int | None = None

    def forget(self) -> None:
        """A statement has failed: the tables are not as they were."""
        self._watch_changes = None

    async def tables(self, connection: asyncpg.Connection[Any], watch_changes: int) -> Mapping[str, Table]:
        """By source. `watch_changes`: the database's count, as the caller's snapshot has it.

        Assumes an open transaction, whose search path it may change. Raises asyncpg.PostgresError, OSError, TimeoutError.
        """
        if watch_changes != self._watch_changes:
            rows = await connection.fetch(query("catalogue"), sorted(self._sources))
            tables = [await self._table(connection, row) for row in rows]
            self._tables = {table.source: table for table in tables}
            self._watch_changes = watch_changes
        return self._tables

    async def _table(self, connection: asyncpg.Connection[Any], row: asyncpg.Record) -> Table:
        columns = {name: Column(name, *described) for name, described in json.loads(row["columns"] or "{}").items()}
        relation = f"{identifier(row['schema'])}.{identifier(row['name'])}"
        owner = columns.get(row["owner"])
        return Table(
            source=row["source"],
            typed=self._sources[row["source"]],
            relation=relation,
            columns=columns,
            key=tuple(row["key"]),
            watched=frozenset(row["watched"]),
            owner=row["owner"],
            owner_kind=row["owner_kind"],
            owner_type=owner.type
            if owner is not None
            else await _type(connection, relation, row["owner"], row["path"]),
            search_path=row["path"],
        )


async def _type(connection: asyncpg.Connection[Any], relation: str, expression: str, path: str | None) -> str:
    """What an owner expression gives. It is parsed for this, never run."""
    if path is not None:
        await connection.execute("select set_config('search_path', $1, true)", path)
    statement = await connection.prepare(f"select {expression} from {relation} as r")
    name: str = statement.get_attributes()[0].type.name
    return {"int2": "smallint", "int4": "integer", "int8": "bigint", "varchar": "character varying"}.get(name, name)
