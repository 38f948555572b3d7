"""Many rows in one transaction: after bulk_rows of them one event says "refetch", and the rest costs nothing."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log


async def watch(feed: asyncpg.Connection, bulk_rows: int) -> None:
    await feed.execute("select changefeed.watch('item', 'owner', bulk_rows => $1)", bulk_rows)


@pytest.mark.usefixtures("item")
async def test_after_the_limit_one_event_takes_the_place_of_the_rows(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await watch(feed, 3)
    await app.execute("insert into item (id) select generate_series(1, 3)")
    assert [event.op for event in await log.new()] == ["insert"] * 3
    await app.execute("insert into item (id) select generate_series(11, 100)")
    events = await log.new()
    assert [event.op for event in events] == ["insert"] * 3 + ["bulk"]
    assert (events[-1].key, events[-1].owner, events[-1].data) == (None, None, {"reason": "bulk"})


@pytest.mark.usefixtures("item")
async def test_the_limit_counts_a_transactions_statements_together_and_begins_anew_with_the_next(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await watch(feed, 3)
    async with app.transaction():
        for number in range(5):
            await app.execute("insert into item (id) values ($1)", number)
            await app.execute("update item set n = 1 where id = $1", number)
        await app.execute("truncate item")
    assert [event.op for event in await log.new()] == ["insert", "update", "insert", "bulk"]
    await app.execute("insert into item (id) values (1)")
    assert (await log.only()).op == "insert"


@pytest.mark.usefixtures("item")
async def test_a_savepoint_that_is_rolled_back_gives_its_count_back(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await watch(feed, 3)
    await app.execute(
        """
        begin;
        insert into item (id) values (1);
        savepoint s;
        insert into item (id) select generate_series(2, 100);
        rollback to s;
        insert into item (id) select generate_series(2, 3);
        savepoint s;
        insert into item (id) values (4);
        rollback to s;
        commit;
        """
    )
    assert await log.briefly() == [("insert", 1, None), ("insert", 2, None), ("insert", 3, None)]


async def test_each_table_has_a_count_of_its_own(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await app.execute("create table other (id int primary key)")
    await feed.execute("select changefeed.watch('other', 'id', bulk_rows => 2)")
    await app.execute("begin; insert into item values (1), (2), (3); insert into other values (1), (2), (3); commit")
    assert [(event.source, event.op) for event in await log.new()] == [
        (item, "insert"),
        (item, "insert"),
        (item, "insert"),
        ("public.other", "insert"),
        ("public.other", "insert"),
        ("public.other", "bulk"),
    ]


@pytest.mark.usefixtures("item")
async def test_zero_means_that_there_is_no_limit_and_the_default_is_ten_thousand(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id) select generate_series(1, 10001)")
    assert [event.op for event in (await log.new())[-2:]] == ["insert", "bulk"]
    await watch(feed, 0)
    await app.execute("delete from item")
    events = await log.new()
    assert (len(events), {event.op for event in events}) == (10001, {"delete"})
