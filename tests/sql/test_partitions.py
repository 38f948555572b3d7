"""Partitioned tables: every way in is captured, and partitions may come and go."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log


@pytest.fixture
async def parted(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    """A watched table with two partitions, one of which has its columns in another order."""
    await app.execute(
        """
        create table part (id int, owner text, n int, primary key (id)) partition by range (id);
        create table part_1 partition of part for values from (0) to (10);
        create table part_2 (n int, gone int, id int not null, owner text);
        alter table part_2 drop column gone;
        alter table part attach partition part_2 for values from (10) to (20);
        """
    )
    await feed.execute("select changefeed.watch('part', 'owner')")


@pytest.mark.usefixtures("parted")
async def test_rows_are_captured_under_the_whole_tables_name(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into part values (1, 'anne', 7), (11, 'bert', 8)")
    await app.execute("update part set n = n + 1")
    await app.execute("delete from part")
    events = await log.new()
    assert {event.source for event in events} == {"public.part"}
    assert [event.brief for event in events] == [
        ("insert", 1, "anne"),
        ("insert", 11, "bert"),
        ("update", 1, "anne"),
        ("update", 11, "bert"),
        ("delete", 1, "anne"),
        ("delete", 11, "bert"),
    ]
    assert events[3].data == {"id": 11, "owner": "bert", "n": 9}


@pytest.mark.usefixtures("parted")
async def test_a_write_to_a_partition_itself_is_captured(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into part_2 (id, owner) values (11, 'bert')")
    await app.execute("update part_2 set n = 1")
    await app.execute("delete from part_2")
    events = await log.new()
    assert [event.brief for event in events] == [
        ("insert", 11, "bert"),
        ("update", 11, "bert"),
        ("delete", 11, "bert"),
    ]
    assert {event.source for event in events} == {"public.part"}


@pytest.mark.usefixtures("parted")
async def test_a_row_that_moves_to_another_partition_is_deleted_and_inserted(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into part values (1, 'anne', 7)")
    await log.new()
    await app.execute("update part set id = 11")
    assert await log.briefly() == [("delete", 1, "anne"), ("insert", 11, "anne")]


@pytest.mark.usefixtures("parted")
async def test_a_partition_that_is_made_later_is_covered(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("create table part_3 partition of part for values from (20) to (30)")
    await app.execute("insert into part values (21, 'carl')")
    await app.execute("update part_3 set n = 1")
    assert await log.briefly() == [("insert", 21, "carl"), ("update", 21, "carl")]


@pytest.mark.usefixtures("parted")
async def test_a_partition_that_is_attached_is_covered_and_its_rows_are_no_news(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table part_3 (id int not null, owner text, n int);
        insert into part_3 values (21, 'carl', 1);
        alter table part attach partition part_3 for values from (20) to (30);
        update part set n = 2;
        """
    )
    assert await log.briefly() == [("update", 21, "carl")]


@pytest.mark.usefixtures("parted")
async def test_a_partition_that_was_detached_is_not_ours_any_more(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into part values (11, 'bert', 1)")
    await log.new()
    await app.execute("alter table part detach partition part_2")
    await app.execute("update part_2 set n = 2")
    await app.execute("truncate part_2")
    assert await log.new() == []
    await app.execute("truncate part")
    assert (await log.only()).op == "truncate"


@pytest.mark.usefixtures("parted")
async def test_watching_again_covers_a_truncate_of_a_new_partition_itself(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    """Statement triggers do not spread to new partitions by themselves."""
    await app.execute("create table part_3 partition of part for values from (20) to (30)")
    await feed.execute("select changefeed.watch('part', 'owner')")
    await app.execute("truncate part_3")
    assert (await log.only()).op == "truncate"


@pytest.mark.usefixtures("parted")
async def test_a_pause_holds_for_partitions_also_for_one_that_comes_meanwhile(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.pause('part')")
    await app.execute("create table part_3 partition of part for values from (20) to (30)")
    await app.execute("insert into part values (1, 'anne'), (21, 'carl')")
    await app.execute("truncate part_1")
    assert await log.new() == []
    await feed.execute("select changefeed.resume('part')")
    await log.new()
    await app.execute("insert into part values (2, 'anne'), (22, 'carl')")
    await app.execute("truncate part_1")
    assert [event.op for event in await log.new()] == ["insert", "insert", "truncate"]


@pytest.mark.usefixtures("parted")
async def test_unwatching_leaves_nothing_on_any_partition(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await app.execute("alter table part detach partition part_2")
    await feed.execute("select changefeed.unwatch('part')")
    assert not await feed.fetchval("select exists (select from pg_trigger where tgrelid::regclass::text like 'part%')")


@pytest.mark.usefixtures("parted")
async def test_a_table_that_is_watched_by_itself_is_attached_after_it_was_unwatched(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table part_3 (id int primary key, owner text, n int)")
    await feed.execute("select changefeed.watch('part_3', 'owner')")
    with pytest.raises(asyncpg.DuplicateObjectError, match="already exists"):
        await app.execute("alter table part attach partition part_3 for values from (20) to (30)")
    await feed.execute("select changefeed.unwatch('part_3')")
    await app.execute("alter table part attach partition part_3 for values from (20) to (30)")
    await app.execute("insert into part values (21, 'carl')")
    assert (await log.only()).source == "public.part"
