"""The feed never breaks the application's write: it is recorded as an error instead, and everybody may resync."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log, connected
from tests.support.database import Database

BREAKS = {
    "a dropped column": "alter table item drop column name",
    "a renamed column": "alter table item rename column name to title",
    "a dropped owner": "alter table item drop column owner",
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS.keys())
async def test_a_write_after_a_change_of_the_table_succeeds_and_the_error_is_recorded(
    app: asyncpg.Connection, item: str, log: Log, change: str
) -> None:
    await app.execute("insert into item (id, n) values (1, 1)")
    await log.new()
    await app.execute(change)
    for statement in ("insert into item (id) values (2)", "update item set n = n + 1", "delete from item"):
        await app.execute(statement)
        event = await log.only()
        assert (event.source, event.op, event.key, event.owner) == (item, "error", None, None)
        assert event.data is not None
        assert event.data["sqlstate"] == "42703"
        assert "has no field" in event.data["message"]


async def test_one_error_stands_for_the_rest_of_its_transaction(app: asyncpg.Connection, item: str, log: Log) -> None:
    await app.execute("alter table item drop column name")
    await app.execute("begin; insert into item (id) values (1), (2); update item set n = 1; truncate item; commit")
    assert [(event.source, event.op) for event in await log.new()] == [(item, "error")]


async def test_a_savepoint_that_is_rolled_back_takes_the_error_along(
    app: asyncpg.Connection, item: str, log: Log
) -> None:
    await app.execute(
        """
        begin;
        insert into item (id) values (1);
        savepoint s;
        alter table item drop column name;
        insert into item (id) values (2);
        rollback to s;
        insert into item (id) values (3);
        commit;
        """
    )
    assert [event.op for event in await log.new()] == ["insert", "insert"]
    assert item == "public.item"


async def test_to_watch_again_mends_it(app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log) -> None:
    await app.execute("alter table item drop column name; insert into item (id) values (1)")
    await feed.execute("select changefeed.watch('item', 'owner')")
    await log.new()
    await app.execute("insert into item (id) values (2)")
    event = await log.only()
    assert (event.source, event.data) == (item, {"id": 2, "owner": None, "n": None})


@pytest.mark.usefixtures("item")
async def test_our_triggers_forbid_no_change_of_the_table(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, owner, n) values (1, 'anne', 7)")
    await app.execute("alter table item alter column n type text using n::text, alter column owner type varchar(9)")
    await app.execute("alter table item alter column id type bigint")
    await log.new()
    await app.execute("update item set n = 'seven', owner = 'bert'")
    leave, insert = await log.new()
    assert (leave.brief, insert.brief) == (("leave", 1, "anne"), ("insert", 1, "bert"))
    assert insert.data == {"id": 1, "owner": "bert", "name": None, "n": "seven"}


@pytest.mark.usefixtures("item")
async def test_a_comparison_that_a_changed_type_does_not_know_is_an_error_of_the_feed_alone(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id, n) values (1, 7)")
    await app.execute("alter table item alter column n type point using point(n, n)")
    await log.new()
    await app.execute("update item set n = point(1, 2)")
    event = await log.only()
    assert (event.op, event.data and event.data["sqlstate"]) == ("error", "42883")


@pytest.mark.parametrize(
    "change",
    ["drop table folder cascade", "alter table folder rename to binder", "alter table folder drop column owner"],
)
@pytest.mark.usefixtures("tree")
async def test_a_parent_that_is_gone_breaks_no_write_of_its_children(
    app: asyncpg.Connection, log: Log, change: str
) -> None:
    await app.execute("insert into folder values (1, 'anne'); insert into file values (10, 1)")
    await log.new()
    await app.execute(change)
    await app.execute("update file set name = 'x'")
    await app.execute("insert into file values (20, null)")
    assert [event.op for event in await log.new("public.file")] == ["error", "error"]


@pytest.mark.parametrize("column", ["owner", "id"])
@pytest.mark.usefixtures("tree")
async def test_a_parents_column_that_is_gone_breaks_no_write_of_the_parent(
    app: asyncpg.Connection, log: Log, column: str
) -> None:
    await app.execute("insert into folder values (1, 'anne', 'a'), (2, 'bert', 'b')")
    await app.execute(f"alter table folder rename column {column} to other_name")
    await log.new()
    await app.execute("update folder set name = 'x'")
    assert {(event.source, event.op) for event in await log.new()} == {
        ("public.file", "error"),
        ("public.line", "error"),
    }
    await app.execute("delete from folder")
    assert {event.op for event in await log.new()} == {"error"} if column == "owner" else {"bulk"}


async def test_an_owner_expression_that_fails_for_one_row_is_an_error(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await feed.execute("select changefeed.watch('item', '10 / r.n')")
    await log.new()
    await app.execute("insert into item (id, n) values (1, 5)")
    await app.execute("insert into item (id, n) values (2, 0)")
    assert [event.op for event in await log.new(item)] == ["insert", "error"]


async def test_a_very_long_error_is_cut(app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log) -> None:
    await feed.execute("select changefeed.watch('item', 'r.name::int')")
    await log.new()
    await app.execute("insert into item (id, name) values (1, repeat('x', 100000))")
    event = await log.only()
    assert (event.source, event.op) == (item, "error")
    assert event.data is not None
    assert len(event.data["message"]) == 1000


@pytest.mark.usefixtures("item")
async def test_fail_closed_is_a_choice(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    await feed.execute("select changefeed.watch('item', 'owner', fail_closed => true)")
    await app.execute("insert into item (id) values (1)")
    assert (await log.only()).op == "insert"
    await app.execute("alter table item drop column name")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await app.execute("insert into item (id) values (2)")
    assert await log.new() == []
    assert await app.fetchval("select count(*) from item") == 1


@pytest.mark.usefixtures("tree")
async def test_fail_closed_holds_for_parents_too(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await feed.execute(
        "select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)', fail_closed => true)"
    )
    await app.execute("insert into folder values (1, 'anne')")
    await app.execute("alter table folder rename column owner to whose")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await app.execute("update folder set name = 'x'")


async def test_what_finds_no_leaf_goes_to_the_default_one(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    slot = await feed.fetchval("select changefeed.slot()")
    await feed.execute(f"drop table changefeed.event_{slot}")
    await app.execute("insert into item (id) values (1)")
    assert (await log.only()).source == item
    assert await feed.fetchval("select count(*) from only changefeed.event_default") == 1


async def test_an_uninstalled_schema_takes_its_triggers_along(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str
) -> None:
    await feed.execute("set client_min_messages = warning; drop schema changefeed cascade")
    await app.execute("insert into item (id) values (1); truncate item")
    assert item == "public.item"


async def test_without_the_row_of_settings_the_capture_goes_on(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await feed.execute("delete from changefeed.state")
    await app.execute("insert into item (id) values (1)")
    assert (await log.only()).source == item


async def test_without_the_table_of_settings_the_write_succeeds_and_an_error_is_recorded(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await feed.execute("alter table changefeed.state rename to away")
    await app.execute("insert into item (id) values (1)")
    event = await log.only()
    assert (event.source, event.op, event.data and event.data["sqlstate"]) == (item, "error", "42P01")


async def test_settings_that_somebody_has_spoilt_are_an_error_of_the_feed_alone(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    watch = await feed.fetchval("select id from changefeed.watch where source = $1", item)
    await app.execute(f"begin; set local changefeed.captured_{watch} = 'rubbish'; insert into item values (1); commit")
    assert (await log.only()).op == "error"
    await app.execute(f"set changefeed.nested_{watch} = 'rubbish'; insert into item values (2), (3)")
    assert [event.op for event in await log.new()] == ["insert", "error"]


async def test_a_lock_table_with_room_for_the_write_alone_lets_the_write_succeed(
    private_database: Database,
) -> None:
    """The tables' locks find room in the session itself, the transaction's own lock takes the last place there is.

    And nobody is rung, though the relay may sleep: NOTIFY needs a lock at commit, and would fail it. What is not covered:
    a file of the log that must grow at that very moment, which needs a lock as well.
    """
    async with (
        connected(private_database.app_dsn) as app,
        connected(private_database.feed_dsn) as feed,
        connected(private_database.admin_dsn) as hoarder,
    ):
        await app.execute("create table item (id int primary key, owner text)")
        await feed.execute("select changefeed.watch('item', 'owner')")
        await app.execute("insert into item values (0)")
        await feed.execute("alter table changefeed.state rename to away")
        await app.execute("insert into item values (1)")  # the first page of the errors' index
        await feed.execute("alter table changefeed.away rename to state")
        with pytest.raises(asyncpg.OutOfMemoryError):
            await hoarder.execute("select pg_advisory_lock_shared(1, g) from generate_series(1, 1000000) g")
        with pytest.raises(asyncpg.OutOfMemoryError):
            await app.execute("insert into item values (2)")
        await hoarder.execute("select pg_advisory_unlock_shared(1, 1)")
        await app.execute("insert into item values (3)")
        await hoarder.execute("select pg_advisory_unlock_all()")
        *_, last = await Log(feed).new()
        assert (last.op, (last.data or {})["sqlstate"]) == ("error", "53200")
        assert [row["id"] for row in await app.fetch("select id from item order by id")] == [0, 1, 3]
