"""watch() and unwatch(): what they install, that they may be called again, and what they refuse, with a remedy."""

import asyncio

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log

TRIGGERS = """
select t.tgrelid::regclass::text || ' ' || t.tgname || ' ' || t.tgenabled::text
  from pg_trigger t where t.tgname like '!changefeed%' and t.tgrelid::regclass::text <> all ($1) order by 1
"""
HOSTS = ["workflow", "workflow_execution", "agent_task", "connector_call"]


async def triggers(feed: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await feed.fetch(TRIGGERS, HOSTS)]


async def test_four_triggers_are_all_that_a_table_gets(feed: asyncpg.Connection, item: str) -> None:
    assert item == "public.item"
    assert await triggers(feed) == [
        "item !changefeed_delete O",
        "item !changefeed_insert O",
        "item !changefeed_truncate O",
        "item !changefeed_update O",
    ]
    watch = await feed.fetchrow("select * from changefeed.watch where source = $1", item)
    assert watch is not None
    assert (watch["owner"], watch["owner_kind"], watch["key"]) == ("owner", "user", ["id"])
    assert (watch["columns"], watch["parents"]) == (["id", "owner", "name", "n"], [])
    assert (watch["bulk_rows"], watch["fail_closed"], watch["paused"]) == (10000, False, False)


async def test_unwatch_leaves_no_trace(app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log) -> None:
    functions = "select count(*) from pg_proc where pronamespace = 'changefeed'::regnamespace"
    before = await feed.fetchval(functions)
    assert await feed.fetchval("select changefeed.unwatch('item')")
    assert await triggers(feed) == []
    assert await feed.fetchval(functions) == before - 1
    assert not await feed.fetchval("select exists (select from changefeed.watch where source = $1)", item)
    await app.execute("insert into item values (1)")
    assert await log.new() == []
    assert not await feed.fetchval("select changefeed.unwatch('item')")


async def test_events_of_before_stay_after_unwatch(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await app.execute("insert into item values (1)")
    await feed.execute("select changefeed.unwatch('item')")
    assert (await log.only()).source == item


async def test_a_watch_whose_table_was_dropped_can_still_be_removed(
    app: asyncpg.Connection, feed: asyncpg.Connection, tree: None
) -> None:
    assert tree is None
    await app.execute("drop table line")
    assert await feed.fetchval(
        "select bool_and(changefeed.unwatch(w.relation)) from changefeed.watch w"
        " where not exists (select from pg_class c where c.oid = w.relation)"
    )
    assert (
        await feed.fetchval("select count(*) from pg_trigger where tgrelid = 'file'::regclass and tgname ~ 'parent'")
        == 0
    )


@pytest.mark.usefixtures("item")
async def test_to_watch_again_changes_nothing_and_tells_nobody(feed: asyncpg.Connection, log: Log, bell: Bell) -> None:
    rows = "select id, relation, owner, columns, key, parents from changefeed.watch order by id"
    before = (await feed.fetch(rows), await triggers(feed))
    await feed.execute("select changefeed.watch('item', 'owner')")
    assert (await feed.fetch(rows), await triggers(feed)) == before
    assert await log.new() == []
    assert await bell.rung() == []


@pytest.mark.parametrize(
    "choice",
    ["'n'", "'r.owner'", "'owner', owner_kind => 'org'", "'owner', columns => array['n']"],
)
@pytest.mark.usefixtures("item")
async def test_another_choice_is_installed_and_makes_everybody_refetch(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log, choice: str
) -> None:
    """Whose rows are whose is no longer what was said before."""
    await feed.execute(f"select changefeed.watch('item', {choice})")
    event = await log.only()
    assert (event.op, event.owner, event.data) == ("bulk", None, {"reason": "owner"})
    assert len(await triggers(feed)) == 4
    await app.execute("insert into item (id, owner, n) values (1, 'anne', 7)")
    assert (await log.only()).op == "insert"


@pytest.mark.usefixtures("item")
async def test_to_watch_again_mends_what_was_lost_and_ends_a_pause(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute('drop trigger "!changefeed_insert" on item')
    await feed.execute("select changefeed.pause('item')")
    await app.execute("insert into item values (1)")
    await feed.execute("select changefeed.watch('item', 'owner')")
    assert (await log.only()).data == {"reason": "bulk"}
    assert all(line.endswith(" O") for line in await triggers(feed))
    await app.execute("insert into item values (2); delete from item where id = 2")
    assert [event.op for event in await log.new()] == ["insert", "delete"]


@pytest.mark.usefixtures("item")
async def test_watch_and_unwatch_are_counted_so_that_relays_look(feed: asyncpg.Connection) -> None:
    changes = "select watch_changes from changefeed.state"
    before = await feed.fetchval(changes)
    await feed.execute("select changefeed.watch('item', 'owner')")
    await feed.execute("select changefeed.unwatch('item')")
    await feed.execute("select changefeed.unwatch('item')")
    assert await feed.fetchval(changes) == before + 2


@pytest.mark.usefixtures("item")
async def test_a_watch_that_is_rolled_back_never_was(
    feed: asyncpg.Connection, app: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("begin; select changefeed.unwatch('item'); rollback")
    await app.execute("insert into item values (1)")
    assert (await log.only()).op == "insert"


async def test_a_column_that_comes_later_is_watched_from_the_next_call_on(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await app.execute("alter table item add column late int default 5")
    await app.execute("insert into item (id) values (1)")
    await feed.execute("select changefeed.watch('item', 'owner')")
    await log.new()
    await app.execute("insert into item (id) values (2)")
    assert (await log.only()).data == {"id": 2, "owner": None, "name": None, "n": None, "late": 5}
    assert item == "public.item"


async def test_a_renamed_table_is_known_by_its_new_name_from_the_next_call_on(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await app.execute("alter table item rename to thing")
    await app.execute("insert into thing values (1)")
    assert (await log.only()).source == item
    await feed.execute("select changefeed.watch('thing', 'owner')")
    await app.execute("insert into thing values (2)")
    assert (await log.only()).source == "public.thing"


async def hasten(feed: asyncpg.Connection) -> list[str]:
    """Let those of our functions that wait at most three seconds for a lock wait less. Returns their names."""
    waiting = await feed.fetch(
        "select proname from pg_proc where pronamespace = 'changefeed'::regnamespace and 'lock_timeout=3s' = any (proconfig)"
    )
    for row in waiting:
        await feed.execute(f"alter function changefeed.{row['proname']} set lock_timeout = '10ms'")
    return sorted(row["proname"] for row in waiting)


@pytest.mark.usefixtures("item")
async def test_a_table_in_use_is_not_waited_for_longer_than_three_seconds(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    """Whoever waits for such a lock makes every later writer wait behind it."""
    assert await hasten(feed) == ["install", "switch", "unwatch"]
    async with app.transaction():
        await app.execute("insert into item values (1)")
        for call in ("watch('item', 'n')", "unwatch('item')", "pause('item')", "resume('item')"):
            with pytest.raises(asyncpg.LockNotAvailableError):
                await feed.execute(f"select changefeed.{call}")


async def test_whoever_may_act_for_both_may_watch_and_the_functions_are_still_the_schemas_owners(
    app: asyncpg.Connection, admin: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute("create table thing (id int primary key, owner text)")
    await admin.execute("select changefeed.watch('public.thing', 'r.owner')")
    owners = await feed.fetch(
        "select distinct proowner::regrole::text from pg_proc where pronamespace = 'changefeed'::regnamespace"
    )
    assert [row[0] for row in owners] == ["changefeed"]
    await app.execute("insert into thing values (1, 'anne')")
    assert await log.briefly() == [("insert", 1, "anne")]


async def test_two_who_watch_at_the_same_time_take_turns(
    app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    await app.execute("create table one (id int primary key, a int); create table two (id int primary key, a int)")
    await hasten(feed)
    async with feed.transaction():
        await feed.execute("select changefeed.watch('one', 'r.a')")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await admin.execute("select changefeed.watch('public.two', 'r.a')")
    await admin.execute("select changefeed.watch('public.two', 'r.a')")
    sources = await feed.fetch("select source from changefeed.watch where source in ('public.one', 'public.two')")
    assert len(sources) == 2


@pytest.mark.usefixtures("tree")
async def test_a_transaction_of_the_applications_is_never_the_victim_of_a_deadlock_with_watch(
    app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """Whoever waits for a table that watch holds, and holds one that watch waits for, outlasts watch."""
    await app.execute("insert into folder values (1, 'anne'); insert into file values (10, 1)")
    for call in (
        "watch('file', '(select f.owner from folder f where f.id = r.folder_id)')",
        "pause('file')",
        "watch('file', 'name')",
    ):
        async with app.transaction():
            await app.execute("update folder set name = 'x'")
            watching = asyncio.ensure_future(feed.execute(f"select changefeed.{call}"))
            waiting = "select exists (select from pg_locks where relation = 'folder'::regclass and not granted)"
            while not await admin.fetchval(waiting):
                assert not watching.done()
            await app.execute("update file set name = 'x'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await watching
