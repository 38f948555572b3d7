"""Owner changes that happen in the tables that an owner expression reads: both owners are told to refetch."""

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log, told

FILE, LINE = "public.file", "public.line"


@pytest.mark.usefixtures("full")
async def test_the_former_owner_and_the_new_one_are_told_side_by_side_each_with_the_others_name(
    app: asyncpg.Connection, log: Log
) -> None:
    async with app.transaction():
        xid = await app.fetchval("select pg_current_xact_id()")
        await app.execute("update folder set owner = 'carl' where id = 1")
    events = await log.new()
    assert {event.xid for event in events} == {xid}
    assert [event.source for event in events] in ([FILE, FILE, LINE, LINE], [LINE, LINE, FILE, FILE])
    for source in (FILE, LINE):
        assert told([event for event in events if event.source == source]) == [("anne", "carl"), ("carl", "anne")]


@pytest.mark.parametrize("change", ["name = 'x'", "owner = owner", "owner = 'anne', name = 'y'"])
@pytest.mark.usefixtures("full")
async def test_only_a_change_of_the_owner_is_told(app: asyncpg.Connection, log: Log, bell: Bell, change: str) -> None:
    await bell.fall_asleep()
    await app.execute(f"update folder set {change} where id = 1")
    assert await log.new() == []
    assert await bell.rung() == []


@pytest.mark.parametrize(("former", "latter", "who"), [("null", "'anne'", "anne"), ("'anne'", "null", "anne")])
@pytest.mark.usefixtures("full")
async def test_nobody_is_not_told(app: asyncpg.Connection, log: Log, former: str, latter: str, who: str) -> None:
    await app.execute(f"update folder set owner = {former} where id = 1")
    await log.new()
    await app.execute(f"update folder set owner = {latter} where id = 1")
    assert told(await log.new(FILE)) == [(who, None)]


@pytest.mark.usefixtures("full")
async def test_of_a_deleted_parent_the_former_owner_is_told_before_the_cascade_takes_its_children(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("delete from folder where id = 1")
    events = await log.new()
    parents = [event for event in events if event.op == "bulk"]
    assert told([event for event in parents if event.source == FILE]) == [("anne", None)]
    assert told([event for event in parents if event.source == LINE]) == [("anne", None)]
    children = [event for event in events if event.op == "delete"]
    assert [(event.source, *event.brief) for event in children] == [
        (FILE, "delete", 10, None),
        (LINE, "delete", 100, None),
    ]
    assert events.index(parents[-1]) < events.index(children[0])


@pytest.mark.usefixtures("full")
async def test_a_parent_that_goes_by_itself_is_told_with_the_owner_that_its_own_parent_gives(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("delete from file where id = 10")
    assert [(event.source, *event.brief) for event in await log.new()] == [
        (FILE, "delete", 10, "anne"),
        (LINE, "bulk", None, "anne"),
        (LINE, "delete", 100, None),
    ]


@pytest.mark.usefixtures("full")
async def test_on_the_way_a_link_that_moves_gives_its_children_to_another_owner(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("update file set folder_id = 2 where id = 10")
    events = await log.new()
    assert told([event for event in events if event.source == LINE]) == [("anne", "bert"), ("bert", "anne")]
    assert [event.brief for event in events if event.source == FILE] == [
        ("leave", 10, "anne"),
        ("insert", 10, "bert"),
    ]


@pytest.mark.usefixtures("full")
async def test_a_link_that_moves_within_one_owners_things_is_not_told(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into folder values (3, 'anne')")
    await app.execute("update file set folder_id = 3 where id = 10")
    assert await log.briefly(LINE) == []


@pytest.mark.usefixtures("full")
async def test_a_parent_whose_key_changes_is_told_though_its_owner_stays(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("update folder set id = 5 where id = 1")
    events = await log.new()
    assert told([event for event in events if event.source == FILE and event.op == "bulk"]) == [("anne", None)]
    assert [event.brief for event in events if event.source == FILE][-1] == ("insert", 10, "anne")


@pytest.mark.usefixtures("full")
async def test_a_truncated_parent_is_told_to_everybody_once(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("truncate folder cascade")
    events = await log.new()
    for source in (FILE, LINE):
        assert told([event for event in events if event.source == source]) == [(None, None)]


@pytest.mark.usefixtures("full")
async def test_every_row_of_a_statement_is_told(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("update folder set owner = 'carl'")
    assert told(await log.new(FILE)) == [("anne", "carl"), ("carl", "anne"), ("bert", "carl"), ("carl", "bert")]


@pytest.mark.usefixtures("full")
async def test_beyond_the_bulk_limit_everybody_is_told_once(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute(
        "select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)', bulk_rows => 2)"
    )
    await app.execute("insert into folder select g, 'anne' from generate_series(3, 9) g")
    await log.new()
    await app.execute("update folder set owner = owner || '!'")
    events = [event for event in await log.new() if event.source == FILE]
    assert [event.owner for event in events] == ["anne", "anne!", "bert", "bert!", None]
    assert events[-1].data == {"reason": "bulk"}


@pytest.mark.usefixtures("full")
async def test_skip_and_pause_silence_owner_changes_as_well(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("begin; set local changefeed.skip = on; update folder set owner = 'carl'; commit")
    await feed.execute("select changefeed.pause('file')")
    await feed.execute("select changefeed.pause('line')")
    await app.execute("update folder set owner = 'dora'")
    assert await log.new() == []
    await feed.execute("select changefeed.resume('file')")
    await log.new()
    await app.execute("update folder set owner = 'emil' where id = 1")
    assert told(await log.new()) == [("dora", "emil"), ("emil", "dora")]


@pytest.mark.usefixtures("full")
async def test_an_owner_change_rings_a_sleeping_relay(app: asyncpg.Connection, bell: Bell) -> None:
    await bell.fall_asleep()
    await app.execute("update folder set owner = 'carl' where id = 1")
    assert sorted(await bell.rung()) == [FILE, LINE]


@pytest.mark.usefixtures("full")
async def test_a_rolled_back_owner_change_is_not_told(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("begin; savepoint s; update folder set owner = 'carl'; rollback to s; commit")
    assert await log.new() == []


async def test_a_partitioned_parent_is_covered_with_every_partition(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table room (id int primary key, owner text) partition by range (id);
        create table room_1 partition of room for values from (0) to (10);
        create table desk (id int primary key, room_id int);
        """
    )
    await feed.execute("select changefeed.watch('desk', '(select m.owner from room m where m.id = r.room_id)')")
    await app.execute("create table room_2 partition of room for values from (10) to (20)")
    await app.execute("insert into room values (1, 'anne'), (11, 'bert')")
    await app.execute("update room set owner = 'carl' where id = 1")
    await app.execute("update room_2 set owner = 'dora'")
    assert told(await log.new()) == [("anne", "carl"), ("carl", "anne"), ("bert", "dora"), ("dora", "bert")]
    await app.execute("truncate room")
    assert told(await log.new()) == [(None, None)]
    await app.execute("alter table room detach partition room_1")
    await app.execute("truncate room_1")
    assert await log.new() == []


async def test_an_owner_of_the_row_itself_may_come_before_the_parents(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table room (id int primary key, owner text);
        create table desk (id int primary key, room_id int, owner text);
        """
    )
    await feed.execute(
        "select changefeed.watch('desk', 'coalesce(r.owner, (select m.owner from room m where m.id = r.room_id))')"
    )
    await app.execute("insert into room values (1, 'anne'); insert into desk values (7, 1, null), (8, 1, 'bert')")
    await app.execute("update room set owner = 'carl'")
    inserted, also_inserted, *rest = await log.new()
    assert (inserted.owner, also_inserted.owner) == ("anne", "bert")
    assert told(rest) == [("anne", "carl"), ("carl", "anne")]


async def test_a_table_may_be_its_own_parent(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    await app.execute("create table node (id int primary key, top int references node on delete cascade, owner text)")
    await feed.execute("select changefeed.watch('node', '(select p.owner from node p where p.id = r.top)')")
    await app.execute("insert into node values (1, 1, 'anne'), (2, 1, null)")
    assert await log.briefly() == [("insert", 1, "anne"), ("insert", 2, "anne")]
    await app.execute("update node set owner = 'bert' where id = 1")
    assert sorted(await log.briefly(), key=str) == sorted(
        [("bulk", None, "anne"), ("bulk", None, "bert"), ("update", 1, "bert")], key=str
    )
    await feed.execute("select changefeed.unwatch('node')")
    assert not await feed.fetchval(
        "select exists (select from pg_trigger where tgrelid = 'node'::regclass and tgname ~ '!')"
    )
