"""One event for each change of a row: what it says, in which order, and when there is none."""

import io

import asyncpg
import pytest

from tests.sql.vocabulary import Log


async def test_an_insert_carries_the_row(app: asyncpg.Connection, item: str, log: Log) -> None:
    await app.execute("insert into item (id, owner, name, n) values (1, 'anne', 'one', 7)")
    event = await log.only()
    assert (event.source, event.op, event.key) == (item, "insert", {"id": 1})
    assert (event.owner_kind, event.owner) == ("user", "anne")
    assert event.data == {"id": 1, "owner": "anne", "name": "one", "n": 7}
    assert event.before is None
    assert not event.partial


@pytest.mark.usefixtures("item")
async def test_an_update_carries_the_new_row_and_the_former_values_of_what_changed(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id, owner, name, n) values (1, 'anne', 'one', 7)")
    await log.new()
    await app.execute("update item set name = null, n = 8")
    event = await log.only()
    assert event.brief == ("update", 1, "anne")
    assert event.data == {"id": 1, "owner": "anne", "name": None, "n": 8}
    assert event.before == {"name": "one", "n": 7}


@pytest.mark.usefixtures("item")
async def test_a_delete_carries_the_former_row(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, owner, name, n) values (1, 'anne', 'one', 7)")
    await log.new()
    await app.execute("delete from item")
    event = await log.only()
    assert event.brief == ("delete", 1, "anne")
    assert event.data == {"id": 1, "owner": "anne", "name": "one", "n": 7}


@pytest.mark.usefixtures("item")
async def test_an_event_says_which_transaction_wrote_it_and_when(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    async with app.transaction():
        await app.execute("insert into item (id) values (1), (2)")
        xid = await app.fetchval("select pg_current_xact_id()")
    assert [event.xid for event in await log.new()] == [xid, xid]
    assert await feed.fetchval("select bool_and(at between now() - interval '1 hour' and now()) from changefeed.event")


@pytest.mark.usefixtures("item")
async def test_what_was_rolled_back_is_not_in_the_log(app: asyncpg.Connection, log: Log) -> None:
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into item (id) values (1)")
    await transaction.rollback()
    assert await log.new() == []


@pytest.mark.usefixtures("item")
async def test_a_savepoint_that_is_rolled_back_takes_its_events_along(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(
        """
        begin;
        insert into item (id) values (1);
        savepoint s;
        insert into item (id) values (2);
        rollback to s;
        insert into item (id) values (3);
        commit;
        """
    )
    assert await log.briefly() == [("insert", 1, None), ("insert", 3, None)]


@pytest.mark.parametrize("change", ["n = n", "note = '{}'", "name = 'one', note = '[1]'"])
@pytest.mark.usefixtures("item")
async def test_an_update_that_changes_no_watched_column_is_not_recorded(
    app: asyncpg.Connection, log: Log, change: str
) -> None:
    await app.execute("insert into item (id, name, n) values (1, 'one', 7)")
    await log.new()
    await app.execute(f"update item set {change}")
    assert await log.new() == []


@pytest.mark.usefixtures("item")
async def test_only_the_columns_that_were_asked_for_are_carried_and_compared(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.watch('item', 'owner', columns => array['n', 'note'])")
    await log.new()
    await app.execute("insert into item (id, owner, name, n, note) values (1, 'anne', 'one', 7, '{\"a\": [1]}')")
    await app.execute("update item set name = 'two'")
    await app.execute("update item set note = '{}'")
    inserted, updated = await log.new()
    assert inserted.data == {"n": 7, "note": {"a": [1]}}
    assert (updated.data, updated.before) == ({"n": 7, "note": {}}, {"note": {"a": [1]}})


@pytest.mark.usefixtures("item")
async def test_without_any_column_an_event_carries_the_key(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.watch('item', 'owner', columns => '{}')")
    await log.new()
    await app.execute("insert into item (id, owner) values (1, 'anne')")
    assert (await log.only()).data == {"id": 1}


@pytest.mark.usefixtures("item")
async def test_an_upsert_is_an_insert_or_an_update_or_nothing(app: asyncpg.Connection, log: Log) -> None:
    upsert = "insert into item (id, n) values (1, 7) on conflict (id) do update set n = item.n + 1"
    await app.execute(upsert)
    await app.execute(upsert)
    await app.execute("insert into item (id, n) values (1, 7) on conflict do nothing")
    inserted, updated = await log.new()
    assert (inserted.op, inserted.data and inserted.data["n"]) == ("insert", 7)
    assert (updated.op, updated.before, updated.data and updated.data["n"]) == ("update", {"n": 7}, 8)


@pytest.mark.usefixtures("item")
async def test_copy_is_captured_row_by_row(app: asyncpg.Connection, log: Log) -> None:
    await app.copy_to_table("item", source=io.BytesIO(b"1\tanne\n2\tbert\n"), columns=["id", "owner"])
    assert await log.briefly() == [("insert", 1, "anne"), ("insert", 2, "bert")]


@pytest.mark.usefixtures("item")
async def test_merge_is_captured_in_each_of_its_branches(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, n) values (1, 1), (2, 2)")
    await log.new()
    await app.execute(
        """
        merge into item using (values (1, 10), (2, null), (3, 30)) as s (id, n) on s.id = item.id
        when matched and s.n is null then delete
        when matched then update set n = s.n
        when not matched then insert (id, n) values (s.id, s.n)
        """
    )
    assert await log.briefly() == [("update", 1, None), ("delete", 2, None), ("insert", 3, None)]


@pytest.mark.usefixtures("item")
async def test_rows_of_a_statement_are_in_the_order_in_which_they_were_written(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id) select g from generate_series(1, 50) g order by g desc")
    assert [brief[1] for brief in await log.briefly()] == list(range(50, 0, -1))


@pytest.mark.usefixtures("item")
async def test_writers_of_one_row_are_in_the_order_of_its_lock_whoever_began_first(
    app: asyncpg.Connection, other_app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id, n) values (1, 0), (2, 0)")
    await log.new()
    async with app.transaction():
        await app.execute("update item set n = 1 where id = 2")
        await other_app.execute("update item set n = 1 where id = 1")
        await app.execute("update item set n = 2 where id = 1")
    changes = [event for event in await log.new() if event.key == {"id": 1}]
    assert [event.data and event.data["n"] for event in changes] == [1, 2]
    assert changes[0].xid > changes[1].xid


async def test_a_table_of_many_columns_is_captured_whole(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    names = [f"c{n}" for n in range(1, 260)]
    await app.execute(f"create table wide (id int primary key, {', '.join(f'{name} int' for name in names)})")
    await feed.execute("select changefeed.watch('wide', 'c1')")
    await app.execute("insert into wide (id, c1, c259) values (1, 2, 3)")
    await app.execute("update wide set c200 = 5")
    inserted, updated = await log.new()
    assert inserted.data == {"id": 1, **dict.fromkeys(names), "c1": 2, "c259": 3}
    assert updated.before == {"c200": None}
