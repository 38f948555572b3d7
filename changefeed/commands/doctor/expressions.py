"""The owner expressions: do they still run, and do they find their row by an index?

The capture runs one for each row that is written. So its plan is made the way the trigger's is, for any row, and looked at;
it is not run, and no row of the application's is read.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from ..watched import Watched, quoted
from .finding import Finding, Patient, ok, problem, warning

LARGE = 1 << 20
"""Bytes of a table from which on it should not be read from end to end for each change."""
SIZE = "select pg_relation_size(to_regclass($1))"


async def owner_expressions(patient: Patient) -> Sequence[Finding]:
    """Of every watched table that has one."""
    found: list[Finding] = []
    for watch in patient.watches:
        if watch.name is not None and watch.owner not in watch.types and not watch.lost:
            found += await _findings(patient.connection, watch)
    return found


async def _findings(connection: Any, watch: Watched) -> Sequence[Finding]:
    name = f"owner of {watch.source}"
    try:
        plan = await _plan(connection, watch)
    except asyncpg.PostgresError as error:
        sentence = (
            f"its owner expression does not run: {error}. Rows have no owner, or no capture succeeds: {watch.owner}"
        )
        return [problem(name, sentence, "watch the table again, with an expression that runs")]
    large = []
    for table in dict.fromkeys(_scanned(plan)):
        size = await connection.fetchval(SIZE, table)
        if size is not None and size >= LARGE:
            large.append(f"{table} ({size >> 20} MiB)")
    if large:
        return [
            warning(
                name,
                f"its owner expression reads {', '.join(large)} from end to end, for each row that is written: {watch.owner}",
                "create an index on the columns by which it looks there, and analyze the table",
            )
        ]
    return [ok(name, "its owner expression runs, and reads no large table from end to end")]


async def _plan(connection: Any, watch: Watched) -> Any:
    row = ", ".join(
        f"${number}::{kind} as {quoted(column)}" for number, (column, kind) in enumerate(watch.types.items(), 1)
    )
    values = ", ".join(["null"] * len(watch.types))
    transaction = connection.transaction(readonly=True)
    await transaction.start()
    try:
        if watch.path:
            await connection.execute("select pg_catalog.set_config('search_path', $1, true)", watch.path)
        # For no row in particular: a plan for null would look nothing up.
        await connection.execute("set local plan_cache_mode = force_generic_plan; set local jit = off")
        select = f"select {watch.owner_expression}::text from (select {row}) as r"
        await connection.execute(f"prepare changefeed_doctor ({', '.join(watch.types.values())}) as {select}")
        plan = await connection.fetchval(f"explain (format json, verbose) execute changefeed_doctor ({values})")
        await connection.execute("deallocate changefeed_doctor")
    finally:
        await transaction.rollback()
    return json.loads(plan)[0]["Plan"]


def _scanned(node: Any) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if "Seq Scan" in node["Node Type"] and "Relation Name" in node:
        yield f"{quoted(node['Schema'])}.{quoted(node['Relation Name'])}"
    for child in node.get("Plans", ()):
        yield from _scanned(child)
