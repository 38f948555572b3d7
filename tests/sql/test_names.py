"""Names that need quoting, and names that the trigger function uses itself."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log

AWKWARD = [
    "new", "old", "r", "t", "op", "key", "data", "before", "owner", "n", "captured", "error", "leaves", "event_owner",
    "Mixed Case", "with.dot", 'with"quote', "it's", "{{id}}", "%I", "$1", "select", "ünïcode", "a" * 63,
]  # fmt: skip


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def test_columns_may_be_called_anything(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    columns = ", ".join(f"{quoted(name)} text" for name in AWKWARD)
    await app.execute(f"create table odd (id int primary key, {columns})")
    await feed.execute("select changefeed.watch('odd', 'owner')")
    await app.execute("insert into odd (id, owner) values (1, 'anne')")
    assert (await log.only()).data == {"id": 1, **dict.fromkeys(AWKWARD), "owner": "anne"}
    for name in AWKWARD:
        await app.execute(f"update odd set {quoted(name)} = 'x' || coalesce({quoted(name)}, '')")
        event = (await log.new())[-1]
        assert (event.data or {})[name].startswith("x"), name
        assert name == "owner" or event.before == {name: None}


async def test_an_owner_column_may_be_called_anything(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    for name in AWKWARD:
        await app.execute(f"create table odd ({quoted(name)} text primary key)")
        await feed.execute("select changefeed.watch('odd', $1)", name)
        await app.execute("insert into odd values ('anne')")
        event = await log.only()
        assert (event.op, event.key, event.owner) == ("insert", {name: "anne"}, "anne")
        await feed.execute("select changefeed.unwatch('odd')")
        await app.execute("drop table odd")


async def test_awkward_names_may_stand_in_an_owner_expression(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table "The ""Parent"" of" (new text primary key, "{{row}}" text);
        create table odd ("or" int primary key, "new" text);
        insert into "The ""Parent"" of" values ('p', 'anne');
        """
    )
    expression = """(select new."{{row}}" from "The ""Parent"" of" new where new.new = r."new")"""
    await feed.execute("select changefeed.watch('odd', $1)", expression)
    await app.execute("insert into odd values (1, 'p')")
    await app.execute("""update "The ""Parent"" of" set "{{row}}" = 'bert'""")
    assert await log.briefly() == [("insert", 1, "anne"), ("bulk", None, "anne"), ("bulk", None, "bert")]


async def test_tables_and_schemas_may_be_called_anything(
    app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection, log: Log
) -> None:
    await admin.execute('create schema "The Schema" authorization app')
    await app.execute('create table "The Schema"."A ""Table"" %I" ("The Key" int primary key)')
    source = await feed.fetchval("""select changefeed.watch('"The Schema"."A ""Table"" %I"', 'The Key')""")
    assert source == 'The Schema.A "Table" %I'
    await app.execute('insert into "The Schema"."A ""Table"" %I" values (1)')
    await app.execute('truncate "The Schema"."A ""Table"" %I"')
    assert [(event.source, event.op) for event in await log.new()] == [(source, "insert"), (source, "truncate")]
    assert await feed.fetchval("""select changefeed.unwatch('"The Schema"."A ""Table"" %I"')""")


async def test_a_table_that_is_called_as_one_of_ours_is_another(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    """The role is called changefeed, and so is its own schema, which comes first in its search path."""
    await app.execute(
        """
        create table leaf (slot int primary key, owner text);
        create table event (id int primary key, slot int);
        insert into leaf values (1, 'anne');
        """
    )
    await feed.execute("select changefeed.watch('public.event', '(select l.owner from leaf l where l.slot = r.slot)')")
    await app.execute("insert into event values (1, 1)")
    assert (await log.only()).brief == ("insert", 1, "anne")
    with pytest.raises(asyncpg.WrongObjectTypeError, match="changefeed's own"):
        await feed.execute("select changefeed.watch('changefeed.event', 'owner')")
