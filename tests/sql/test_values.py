"""What values become on their way: digits are kept, types are not limited, what is too large stays out."""

from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.sql.vocabulary import Log

KIB = 1024


@pytest.fixture
async def one(app: asyncpg.Connection, feed: asyncpg.Connection) -> Any:
    """Makes a watched table with a single further column of some type, in the place of the one before."""

    async def make(kind: str) -> None:
        await app.execute("set client_min_messages = warning; drop table if exists one")
        await app.execute(f"create table one (id int primary key, value {kind})")
        await feed.execute("select changefeed.watch('one', 'id')")

    return make


VALUES = [
    ("numeric", "0.10", Decimal("0.10")),
    ("numeric(30, 10)", "12345678901234567890.0123456789", Decimal("12345678901234567890.0123456789")),
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "'Infinity'", "Infinity"),
    ("float8", "'-Infinity'", "-Infinity"),
    ("float8", "0.1", Decimal("0.1")),
    ("bigint", "9223372036854775807", 9223372036854775807),
    ("boolean", "true", True),
    ("text[]", "array['a', null, 'b,c']", ["a", None, "b,c"]),
    ("int[][]", "'{{1,2},{3,4}}'", [[1, 2], [3, 4]]),
    ("uuid", "'00000000-0000-4000-8000-000000000001'", "00000000-0000-4000-8000-000000000001"),
    ("date", "'2024-02-29'", "2024-02-29"),
    ("timestamp", "'2024-02-29 12:00:00.123456'", "2024-02-29T12:00:00.123456"),
    ("timestamptz", "'infinity'", "infinity"),
    ("int4range", "'[1,5)'", "[1,5)"),
    ("point", "'(1,2)'", "(1,2)"),
    ("inet", "'10.0.0.1/24'", "10.0.0.1/24"),
    ("text", "E'a\\n\"\\\\ \U0001f30d'", 'a\n"\\ \U0001f30d'),
    ("char(3)", "'a'", "a  "),
]


async def test_a_value_is_captured_as_json_has_it(app: asyncpg.Connection, one: Any, log: Log) -> None:
    for kind, literal, captured in VALUES:
        await one(kind)
        await app.execute(f"insert into one values (1, {literal})")
        await app.execute("update one set value = null")
        inserted, updated = await log.new()
        assert inserted.data == {"id": 1, "value": captured}
        assert updated.before == {"value": captured}


async def test_domains_enums_and_composites_are_captured(app: asyncpg.Connection, one: Any, log: Log) -> None:
    await app.execute(
        """
        create type mood as enum ('sad', 'happy');
        create domain short as varchar(10) check (value <> '');
        create type pair as (mood mood, short short, moods mood[]);
        """
    )
    await one("pair")
    await app.execute("insert into one values (1, row('happy', 'x', array['sad']::mood[]))")
    assert (await log.only()).data == {"id": 1, "value": {"mood": "happy", "short": "x", "moods": ["sad"]}}
    await app.execute("update one set value.mood = 'sad'")
    assert (await log.only()).brief[0] == "update"


async def test_a_change_that_equality_hides_is_a_change(
    app: asyncpg.Connection, feed: asyncpg.Connection, one: Any, log: Log
) -> None:
    for kind, former, latter in [
        ("numeric", "1.0", "1.00"),
        ("json", "'[1]'", "'[1] '"),
        ("point", "'(1,2)'", "'(1,3)'"),
        ("float8", "'0'", "'-0'"),
        ("text[]", "'{a}'", "'{A}'"),
    ]:
        await one(kind)
        await feed.execute("select changefeed.watch('one', 'id', columns => array['value'])")
        await app.execute(f"insert into one values (1, {former})")
        await app.execute(f"update one set value = {latter}")
        assert (await log.new())[-1].op == "update", kind


@pytest.mark.parametrize("databases", ["container"], indirect=True, ids=["with-icu"])
async def test_a_change_of_case_is_a_change_where_the_collation_sees_none(
    app: asyncpg.Connection, one: Any, log: Log
) -> None:
    await app.execute("create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    await one("text collate nocase")
    await app.execute("insert into one values (1, 'anne')")
    await log.new()
    await app.execute("update one set value = 'Anne'")
    assert (await log.only()).before == {"value": "anne"}


async def test_citext_is_captured_as_it_is_written(
    app: asyncpg.Connection, admin: asyncpg.Connection, one: Any, log: Log
) -> None:
    await admin.execute("create extension citext")
    await one("citext")
    await app.execute("insert into one values (1, 'anne')")
    await app.execute("update one set value = 'Anne'")
    inserted, updated = await log.new()
    assert inserted.data == {"id": 1, "value": "anne"}
    assert (updated.before, updated.data) == ({"value": "anne"}, {"id": 1, "value": "Anne"})


async def test_json_and_bytes_are_left_out_by_default_also_under_a_domains_name(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create domain document as jsonb;
        create domain letter as document;
        create table post (id int primary key, a json, b jsonb, c bytea, d document, e letter, f text);
        """
    )
    await feed.execute("select changefeed.watch('post', 'id')")
    await app.execute("insert into post (id, b, e, f) values (1, '1', '2', '3')")
    assert (await log.only()).data == {"id": 1, "f": "3"}


async def test_a_stored_generated_column_is_captured(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table post (id int primary key, a int, twice int generated always as (a * 2) stored)")
    await feed.execute("select changefeed.watch('post', 'id')")
    await app.execute("insert into post (id, a) values (1, 2)")
    await app.execute("update post set a = 3")
    inserted, updated = await log.new()
    assert inserted.data == {"id": 1, "a": 2, "twice": 4}
    assert updated.before == {"a": 2, "twice": 4}


@pytest.mark.parametrize("databases", ["embedded"], indirect=True, ids=["18"])
async def test_a_virtual_generated_column_beside_the_watched_ones_does_no_harm(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table post (id int primary key, a int, twice int generated always as (a * 2) virtual)")
    await feed.execute("select changefeed.watch('post', 'id')")
    await app.execute("insert into post (id, a) values (1, 2)")
    await app.execute("update post set a = 3")
    inserted, updated = await log.new()
    assert inserted.data == {"id": 1, "a": 2}
    assert (updated.data, updated.before) == ({"id": 1, "a": 3}, {"a": 2})


@pytest.mark.usefixtures("item")
async def test_up_to_64_kib_the_row_is_carried_and_beyond_only_its_key(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(f"insert into item (id, name) values (1, repeat('x', {60 * KIB})), (2, repeat('x', {64 * KIB}))")
    fits, does_not = await log.new()
    assert not fits.partial
    assert fits.data is not None
    assert len(fits.data["name"]) == 60 * KIB
    assert does_not.partial
    assert does_not.data == {"id": 2}


@pytest.mark.usefixtures("item")
async def test_a_former_value_counts_as_well(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(f"insert into item (id, name) values (1, repeat('x', {40 * KIB}))")
    await log.new()
    await app.execute(f"update item set name = repeat('y', {40 * KIB})")
    event = await log.only()
    assert (event.op, event.partial, event.data, event.before) == ("update", True, {"id": 1}, None)


async def test_many_values_that_are_large_together_count_together(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table post (id int primary key, a text, b numeric[])")
    await feed.execute("select changefeed.watch('post', 'id')")
    await app.execute(
        f"insert into post select 1, repeat('x', {40 * KIB}), array_agg(g::numeric / 7) from generate_series(1, 4000) g"
    )
    assert (await log.only()).partial


@pytest.mark.usefixtures("item")
async def test_a_value_that_no_json_could_hold_makes_the_event_partial_and_no_error(
    app: asyncpg.Connection, log: Log
) -> None:
    """Strings in jsonb end at 256 MiB; the value is compressed, and stored out of line."""
    huge = "insert into item (id, owner, name) values (1, 'anne', repeat('x', 270000000))"
    await app.execute(huge)
    await app.execute("update item set id = 2")
    await app.execute("delete from item")
    await app.execute(huge)
    await app.execute("update item set name = 'small'")
    events = await log.new()
    assert [event.op for event in events] == ["insert", "delete", "insert", "delete", "insert", "update"]
    assert all(event.partial and event.owner == "anne" and event.data == event.key for event in events)
    await app.execute("update item set n = 6")
    small = await log.only()
    assert (small.partial, small.data and small.data["name"]) == (False, "small")


@pytest.mark.usefixtures("item")
async def test_the_former_row_of_a_changed_key_may_be_partial_by_itself(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(f"insert into item (id, name) values (1, repeat('x', {70 * KIB}))")
    await log.new()
    await app.execute("update item set id = 2, name = 'small'")
    deleted, inserted = await log.new()
    assert (deleted.partial, deleted.data) == (True, {"id": 1})
    assert (inserted.partial, inserted.data and inserted.data["name"]) == (False, "small")
