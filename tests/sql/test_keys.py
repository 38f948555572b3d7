"""The primary key: composite, of any type, and changed."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log


async def test_a_composite_key_is_carried_in_its_own_order(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table pair (b text, extra text, a int, primary key (a, b) include (extra))")
    await feed.execute("select changefeed.watch('pair', 'b')")
    assert await feed.fetchval("select key from changefeed.watch where source = 'public.pair'") == ["a", "b"]
    await app.execute("insert into pair values ('anne', 'x', 1)")
    assert (await log.only()).key == {"a": 1, "b": "anne"}


@pytest.mark.usefixtures("item")
async def test_a_changed_key_is_a_delete_of_the_former_row_and_an_insert(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, owner, n) values (1, 'anne', 7)")
    await log.new()
    await app.execute("update item set id = 2, n = 8")
    deleted, inserted = await log.new()
    assert (deleted.brief, deleted.data) == (
        ("delete", 1, "anne"),
        {"id": 1, "owner": "anne", "name": None, "n": 7},
    )
    assert (inserted.brief, inserted.data, inserted.before) == (
        ("insert", 2, "anne"),
        {"id": 2, "owner": "anne", "name": None, "n": 8},
        None,
    )


@pytest.mark.usefixtures("item")
async def test_a_changed_key_with_a_changed_owner_is_deleted_for_one_and_inserted_for_the_other(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id, owner) values (1, 'anne')")
    await log.new()
    await app.execute("update item set id = 2, owner = 'bert'")
    assert await log.briefly() == [("delete", 1, "anne"), ("insert", 2, "bert")]


async def test_part_of_a_key_that_changes_changes_the_key_though_it_is_not_watched(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table pair (a int, b int, n int, primary key (a, b))")
    await feed.execute("select changefeed.watch('pair', 'n', columns => array['n'])")
    await app.execute("insert into pair values (1, 1, 5)")
    await app.execute("update pair set b = 2")
    assert await log.briefly() == [("insert", (1, 1), "5"), ("delete", (1, 1), "5"), ("insert", (1, 2), "5")]


@pytest.mark.usefixtures("item")
async def test_keys_that_move_up_one_by_one_are_recorded_as_they_move(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id) values (2), (1)")
    await log.new()
    await app.execute("update item set id = id + 1")
    assert await log.briefly() == [
        ("delete", 2, None),
        ("insert", 3, None),
        ("delete", 1, None),
        ("insert", 2, None),
    ]


@pytest.mark.usefixtures("item")
async def test_a_foreign_key_that_cascades_an_update_is_captured_in_both_tables(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        "create table part (id int primary key, item_id int references item on update cascade on delete set null)"
    )
    await feed.execute("select changefeed.watch('part', 'item_id')")
    await app.execute("insert into item (id) values (1); insert into part values (7, 1)")
    await log.new()
    await app.execute("update item set id = 2")
    assert [(e.source, *e.brief) for e in await log.new()] == [
        ("public.item", "delete", 1, None),
        ("public.item", "insert", 2, None),
        ("public.part", "leave", 7, "1"),
        ("public.part", "insert", 7, "2"),
    ]
    await app.execute("delete from item")
    assert [(e.source, *e.brief) for e in await log.new()] == [
        ("public.item", "delete", 2, None),
        ("public.part", "leave", 7, "2"),
        ("public.part", "insert", 7, None),
    ]


async def test_a_key_may_be_of_any_type(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    for kind, literal in {
        "varchar(10)": "'a'",
        "char(4)": "'a'",
        "numeric": "1.50",
        "timestamptz": "'2024-01-01 00:00+00'",
        "bytea": "'a'",
        "text[]": "'{a}'",
    }.items():
        await app.execute(f"create table thing (id {kind} primary key, n int)")
        await feed.execute("select changefeed.watch('thing', 'n')")
        await app.execute(f"insert into thing values ({literal}, 1); update thing set n = 2; delete from thing")
        events = await log.new()
        assert [event.op for event in events] == ["insert", "leave", "insert", "delete"], kind
        assert all(event.key == events[0].key for event in events), kind
        await feed.execute("select changefeed.unwatch('thing')")
        await app.execute("drop table thing")
