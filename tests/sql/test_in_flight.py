"""Writers who could not see an owner change: what the log tells the reading side of them."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log, told, visible_in

FILE = "public.file"


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
