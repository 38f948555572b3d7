"""TRUNCATE: said once, of every table that it empties."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log


@pytest.mark.usefixtures("item")
async def test_a_truncate_is_one_event_for_everybody(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, owner) values (1, 'anne')")
    await log.new()
    await app.execute("truncate item")
    event = await log.only()
    assert (event.op, event.key, event.owner, event.data) == ("truncate", None, None, None)


@pytest.mark.usefixtures("item")
async def test_what_came_before_and_what_came_after_keep_their_place(app: asyncpg.Connection, log: Log) -> None:
    async with app.transaction():
        await app.execute("insert into item (id) values (1)")
        await app.execute("truncate item")
        await app.execute("truncate item")
        await app.execute("insert into item (id) values (2)")
        await app.execute("truncate item")
    assert [event.op for event in await log.new()] == ["insert", "truncate", "insert", "truncate"]


@pytest.mark.usefixtures("item")
async def test_a_truncate_that_is_rolled_back_may_be_said_again(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("begin; savepoint s; truncate item; rollback to s; truncate item; commit")
    assert (await log.only()).op == "truncate"


@pytest.mark.usefixtures("item")
async def test_two_transactions_say_it_twice(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("truncate item")
    await app.execute("truncate item")
    assert [event.op for event in await log.new()] == ["truncate", "truncate"]


@pytest.mark.usefixtures("item")
async def test_truncate_cascade_is_said_of_each_table(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table part (id int primary key, item_id int references item)")
    await feed.execute("select changefeed.watch('part', 'item_id')")
    await app.execute("truncate item cascade")
    assert {(event.source, event.op) for event in await log.new()} == {
        ("public.item", "truncate"),
        ("public.part", "truncate"),
    }


async def test_a_partitioned_table_says_it_once_however_many_partitions(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table part (id int primary key, owner text) partition by range (id);
        create table part_1 partition of part for values from (0) to (10);
        create table part_2 partition of part for values from (10) to (20) partition by range (id);
        create table part_2a partition of part_2 for values from (10) to (15);
        """
    )
    await feed.execute("select changefeed.watch('part', 'owner')")
    for table in ("part", "part_2", "part_2a"):
        await app.execute(f"truncate {table}")
        event = await log.only()
        assert (event.source, event.op) == ("public.part", "truncate")
