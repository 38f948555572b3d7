"""Owner changes that happen in the tables that an owner expression reads: both owners are told to refetch."""

from typing import Any

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log, Recorded, visible_in

FILE, LINE = "public.file", "public.line"


def told(events: list[Recorded]) -> list[tuple[str | None, object]]:
    """Who was told to refetch because of an owner change, and who was named as the other."""
    assert all(event.op == "bulk" and event.key is None for event in events)
    for event in events:
        assert (event.data or {})["reason"] == "owner"
        assert event.owner_kind == "user"
    return [(event.owner, (event.data or {}).get("other")) for event in events]


@pytest.fixture
async def full(app: asyncpg.Connection, tree: None, log: Log) -> None:  # noqa: ARG001
    """Two folders of different owners, a file in each, a line in each file; nothing unread in the log."""
    await app.execute(
        """
        insert into folder values (1, 'anne', 'a'), (2, 'bert', 'b');
        insert into file values (10, 1), (20, 2);
        insert into line values (100, 10), (200, 20);
        """
    )
    await log.new()


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


@pytest.fixture
async def team(app: asyncpg.Connection, feed: asyncpg.Connection) -> list[str]:
    """A table whose owner is found in a way that does not follow from one row of the parent. What watch said."""
    said: list[str] = []

    def hear(_connection: object, message: Any) -> None:
        said.append(str(message.message))

    await app.execute(
        """
        create table member (id int primary key, team_id int, name text, rank int, note text);
        create table task (id int primary key, team_id int);
        """
    )
    feed.add_log_listener(hear)
    await feed.execute(
        "select changefeed.watch('task', '(select m.name from member m where m.team_id = r.team_id"
        " order by m.rank limit 1)')"
    )
    feed.remove_log_listener(hear)
    return said


async def test_where_it_cannot_be_told_who_is_concerned_watch_says_so(team: list[str]) -> None:
    (notice,) = team
    assert "such a change tells everybody who watches public.task to refetch" in notice


@pytest.mark.parametrize(
    "change",
    [
        "insert into member values (9, 1, 'carl', 0)",
        "update member set rank = 5 where id = 1",
        "delete from member where id = 1",
        "truncate member",
    ],
)
@pytest.mark.usefixtures("team")
async def test_where_it_cannot_be_told_who_is_concerned_everybody_is_told_once(
    app: asyncpg.Connection, log: Log, change: str
) -> None:
    await app.execute("insert into member values (1, 1, 'anne', 1), (2, 1, 'bert', 2)")
    await log.new()
    await app.execute(f"begin; {change}; update member set rank = rank + 1; commit")
    assert told(await log.new()) == [(None, None)]


@pytest.mark.usefixtures("team")
async def test_a_column_that_the_expression_does_not_read_concerns_nobody(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into member values (1, 1, 'anne', 1)")
    await log.new()
    await app.execute("update member set note = 'x'")
    assert await log.new() == []


@pytest.mark.usefixtures("tree")
async def test_another_expression_takes_its_triggers_from_the_tables_that_it_no_longer_reads(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.watch('line', 'text')")
    await feed.execute("select changefeed.unwatch('file')")
    left = await feed.fetch(
        "select tgrelid::regclass::text from pg_trigger where tgname ~ '!changefeed' and tgrelid in"
        " ('folder'::regclass, 'file'::regclass)"
    )
    assert left == []
    assert await feed.fetchval("select count(*) from pg_proc where proname ~ '^parent_[0-9]'") == 1  # the template's
    await app.execute("insert into folder values (1, 'anne')")
    await log.new()
    await app.execute("update folder set owner = 'bert'")
    assert await log.new() == []


async def test_a_parent_that_the_caller_does_not_own_is_refused(
    app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "create table foreign_room (id int primary key, owner text); grant select on foreign_room to changefeed"
    )
    await app.execute("create table desk (id int primary key, room_id int)")
    with pytest.raises(
        asyncpg.InsufficientPrivilegeError, match=r"public\.desk.*reads public.foreign_room.*does not own"
    ) as refusal:
        await feed.execute(
            "select changefeed.watch('desk', '(select m.owner from foreign_room m where m.id = r.room_id)')"
        )
    assert "grant postgres to changefeed" in str(refusal.value.hint)
    assert await feed.fetchval("select to_regclass('changefeed.owner_probe') is null")
    assert not await feed.fetchval("select exists (select from changefeed.watch where source = 'public.desk')")


async def test_a_view_is_no_parent(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await app.execute(
        """
        create table room (id int primary key, owner text);
        create view door as select * from room;
        create table desk (id int primary key, room_id int);
        """
    )
    with pytest.raises(asyncpg.WrongObjectTypeError, match="door is not a table") as refusal:
        await feed.execute("select changefeed.watch('desk', '(select m.owner from door m where m.id = r.room_id)')")
    assert "name the tables behind it" in str(refusal.value.hint)


async def test_a_function_hides_what_it_reads_and_watch_says_so(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    said: list[str] = []
    await app.execute(
        """
        create table room (id int primary key, owner text);
        create table desk (id int primary key, room_id int);
        create function owner_of(room int) returns text language sql stable
            return (select m.owner from room m where m.id = room);
        """
    )
    feed.add_log_listener(lambda _connection, message: said.append(str(message.message)))
    await feed.execute("select changefeed.watch('desk', 'owner_of(r.room_id)')")
    assert "calls public.owner_of" in said[0]
    await app.execute("insert into room values (1, 'anne'); insert into desk values (7, 1)")
    assert await log.briefly() == [("insert", 7, "anne")]


@pytest.mark.usefixtures("full")
async def test_row_security_on_a_parent_hides_no_owner(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("alter table folder enable row level security")
    await app.execute("update file set name = 'x' where id = 10")
    assert await log.briefly(FILE) == [("update", 10, "anne")]


@pytest.mark.usefixtures("full")
async def test_row_security_that_binds_the_owner_too_is_refused(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    """It would hide owners, or fail every capture."""
    await app.execute("alter table folder enable row level security; alter table folder force row level security")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await feed.execute("select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)')")


@pytest.mark.parametrize("first", ["the writer", "the owner change"])
@pytest.mark.usefixtures("full")
async def test_a_writer_who_did_not_see_the_owner_change_was_in_flight_when_it_was_delivered(
    app: asyncpg.Connection, other_app: asyncpg.Connection, feed: asyncpg.Connection, log: Log, first: str
) -> None:
    """What the reading side decides by.

    A transaction may run without being in the snapshot's list of those that do: if its id is xmax or more. How far
    such ids went at that moment, age() tells.
    """
    give, write = other_app.transaction(), app.transaction()
    await give.start()
    await write.start()
    if first == "the owner change":
        await other_app.execute("update folder set owner = 'carl' where id = 1")
    await app.execute("update file set name = 'x' where id = 10")
    if first == "the writer":
        await other_app.execute("update folder set owner = 'carl' where id = 1")
    await give.commit()
    assert told(await log.new(FILE)) == [("anne", "carl"), ("carl", "anne")]
    delivered = await feed.fetchrow(
        "select pg_current_snapshot()::text as snapshot, pg_snapshot_xmax(pg_current_snapshot()) as xmax,"
        " age(pg_snapshot_xmax(pg_current_snapshot())::xid) as further"
    )
    await write.commit()
    assert delivered is not None
    (late,) = await log.new(FILE)
    assert (late.brief, late.seen) == (("update", 10, "anne"), None)
    assert not await visible_in(feed, late.xid, delivered["snapshot"])
    assert (late.xid >= delivered["xmax"]) == (first == "the owner change")
    assert late.xid < delivered["xmax"] + delivered["further"]
    await app.execute("update file set name = 'y' where id = 10")
    (later,) = await log.new(FILE)
    assert later.brief == ("update", 10, "carl")
    assert later.xid >= delivered["xmax"] + delivered["further"]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.usefixtures("full")
async def test_a_writer_with_a_snapshot_of_his_own_records_what_he_could_see(
    app: asyncpg.Connection, other_app: asyncpg.Connection, feed: asyncpg.Connection, log: Log, level: str
) -> None:
    await app.execute(f"begin isolation level {level}; select 1 from folder")
    async with other_app.transaction():
        giving = await other_app.fetchval("select pg_current_xact_id()")
        await other_app.execute("update folder set owner = 'carl' where id = 1")
    await log.new()
    await app.execute("update file set name = 'x' where id = 10; commit")
    (late,) = await log.new(FILE)
    assert late.brief == ("update", 10, "anne")
    assert not await visible_in(feed, giving, late.seen)
    await app.execute(f"begin isolation level {level}; update file set name = 'y' where id = 10; commit")
    (later,) = await log.new(FILE)
    assert later.brief == ("update", 10, "carl")
    assert await visible_in(feed, giving, later.seen)


@pytest.mark.usefixtures("full")
async def test_an_owner_change_by_a_writer_with_a_snapshot_of_his_own_records_it_too(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("begin isolation level repeatable read; update folder set owner = 'carl' where id = 1; commit")
    assert all(event.seen for event in await log.new())
