"""Silencing the capture: for a transaction, for a table, for a session, and with the server's own setting."""

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log


@pytest.mark.usefixtures("item")
async def test_skip_silences_a_transaction(app: asyncpg.Connection, log: Log) -> None:
    for value in ("on", "true", "yes", "1"):
        await app.execute(
            f"begin; set local changefeed.skip = '{value}'; insert into item values (1); truncate item; commit"
        )
        assert await log.new() == [], value
    await app.execute("insert into item values (2)")
    assert (await log.only()).key == {"id": 2}


@pytest.mark.usefixtures("item")
async def test_skip_may_be_off(app: asyncpg.Connection, log: Log) -> None:
    for number, value in enumerate(("off", "false", "", "0")):
        await app.execute(f"begin; set local changefeed.skip = '{value}'; insert into item values ({number}); commit")
        assert (await log.only()).op == "insert", value


@pytest.mark.usefixtures("item")
async def test_skip_may_be_set_for_a_part_of_a_transaction(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(
        """
        begin;
        insert into item values (1);
        set local changefeed.skip = on;
        insert into item values (2);
        set local changefeed.skip = off;
        insert into item values (3);
        commit;
        """
    )
    assert [event.key for event in await log.new()] == [{"id": 1}, {"id": 3}]


async def test_a_pause_silences_a_table_for_everybody_and_resume_makes_everybody_refetch(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log, bell: Bell
) -> None:
    await feed.execute("select changefeed.pause('item')")
    assert await feed.fetchval("select paused from changefeed.watch where source = $1", item)
    await app.execute("insert into item values (1); update item set n = 1; truncate item")
    assert await log.new() == []
    await bell.rung()
    await feed.execute("select changefeed.resume('item')")
    event = await log.only()
    assert (event.source, event.op, event.owner, event.data) == (item, "bulk", None, {"reason": "bulk"})
    assert await bell.rung() == [item]
    assert not await feed.fetchval("select paused from changefeed.watch where source = $1", item)
    await app.execute("insert into item values (2)")
    assert (await log.only()).op == "insert"


@pytest.mark.usefixtures("item")
async def test_pause_and_resume_are_counted_so_that_relays_look(feed: asyncpg.Connection) -> None:
    changes = "select watch_changes from changefeed.state"
    before = await feed.fetchval(changes)
    await feed.execute("select changefeed.pause('item')")
    await feed.execute("select changefeed.resume('item')")
    assert await feed.fetchval(changes) == before + 2


@pytest.mark.usefixtures("item")
async def test_resume_rings_nobody_where_the_doorbell_is_off(feed: asyncpg.Connection, bell: Bell) -> None:
    await feed.execute("select changefeed.configure(doorbell => false)")
    await feed.execute("select changefeed.pause('item')")
    await feed.execute("select changefeed.resume('item')")
    assert await bell.rung() == []


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_table_that_is_not_watched_cannot_be_paused(
    app: asyncpg.Connection, feed: asyncpg.Connection, verb: str
) -> None:
    await app.execute("create table plain (id int primary key)")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=r"does not watch public\.plain") as refusal:
        await feed.execute(f"select changefeed.{verb}('plain')")
    assert "changefeed.watch('public.plain'" in str(refusal.value.hint)


@pytest.mark.usefixtures("item")
async def test_the_replica_role_silences_the_capture_as_it_does_every_trigger(
    admin: asyncpg.Connection, log: Log
) -> None:
    """Documented: a superuser's setting, which loaders and logical replication use."""
    await admin.execute("begin; set local session_replication_role = replica; insert into item values (1); commit")
    assert await log.new() == []
