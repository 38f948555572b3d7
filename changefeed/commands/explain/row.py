"""The row that somebody asks about, as it is now: is it there, whose is it, where does it differ from its newest event?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from ...errors import ConfigurationError
from ..watched import Watched, literal, quoted


@dataclass(frozen=True, slots=True)
class Row:
    """At one moment."""

    exists: bool
    owner: str | None = None
    """What the owner expression gives now."""
    differs: tuple[str, ...] | None = None
    """The watched columns that differ from the newest event's; None where there is nothing to compare with."""
    problem: str | None = None
    """Why it could not be read the way the capture reads it."""


async def key_of(connection: Any, watch: Watched, text: str) -> dict[str, str]:
    """The key's columns with their values as events have them. Raises ConfigurationError.

    `text`: the value itself, or a JSON object of all columns.
    """
    given = _given(watch, text)
    found = {}
    for name in watch.key:
        kind = watch.types.get(name, "text")
        try:
            found[name] = await connection.fetchval(f"select to_jsonb($1::text::{kind}) #>> '{{}}'", given[name])
        except asyncpg.DataError as error:
            raise ConfigurationError(f"--key {text}: {name} is of type {kind} ({error})") from error
    return found


def _given(watch: Watched, text: str) -> dict[str, str]:
    names = ", ".join(watch.key)
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        if value.keys() != set(watch.key):
            raise ConfigurationError(f"--key {text}: the key of {watch.source} is {names}")
        return {name: part if isinstance(part, str) else json.dumps(part) for name, part in value.items()}
    if len(watch.key) > 1:
        raise ConfigurationError(f"--key {text}: the key of {watch.source} is {names}. Write it as a JSON object")
    return {watch.key[0]: text}


async def row_of(connection: Any, watch: Watched, key: Mapping[str, str], data: str | None) -> Row:
    """The row. `data`: what the newest event says of it, to compare with; None: nothing to compare with."""
    if watch.name is None:
        return Row(exists=False, problem="the table is gone")
    compared = [name for name in watch.columns if name in watch.types] if data is not None else []
    # By their images, as the capture does it: 1.0 and 1.00 are two values, and what has no equality can be compared.
    differs = ", ".join(
        f"case when pg_catalog.record_image_ne(row(e.{quoted(name)}), row(r.{quoted(name)})) then {literal(name)} end"
        for name in compared
    )
    conditions = " and ".join(
        f"r.{quoted(name)} = ${number}::text::{watch.types[name]}" for number, name in enumerate(watch.key, start=2)
    )
    statement = (
        f"select {watch.owner_expression}::text as owner, array_remove(array[{differs}]::text[], null) as differs"
        f" from {watch.name} as r, jsonb_populate_record(null::{watch.name}, $1::text::jsonb) as e where {conditions}"
    )
    try:
        async with connection.transaction(readonly=True):
            if watch.path:
                await connection.execute("select pg_catalog.set_config('search_path', $1, true)", watch.path)
            found = await connection.fetchrow(statement, data or "{}", *(key[name] for name in watch.key))
    except (asyncpg.PostgresError, KeyError) as error:
        return Row(exists=False, problem=str(error))
    if found is None:
        return Row(exists=False)
    return Row(True, found["owner"], None if data is None else tuple(found["differs"]))
