"""rotate(): leaves are sealed when their time is over and emptied when retention is, and the floor says what was lost."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log, connected
from tests.support.database import Database

SEALED = "select slot from changefeed.leaf where sealed_at is not null order by slot"
FLOOR = "select floor::text from changefeed.state"


async def slot(feed: asyncpg.Connection) -> int:
    return int(await feed.fetchval("select changefeed.slot()"))


async def move_on(feed: asyncpg.Connection, slots: int = 1) -> None:
    """Let time pass: as many slots, as if the clock stood so much later."""
    await feed.execute(
        f"""
        create or replace function changefeed.slot(at timestamptz default pg_catalog.clock_timestamp()) returns smallint
        language sql volatile
        return {(await slot(feed) + slots) % 8}::smallint
        """
    )


async def age(feed: asyncpg.Connection, hours: int = 25) -> None:
    """Let the seals be so much older."""
    await feed.execute(f"update changefeed.leaf set sealed_at = sealed_at - interval '{hours} hours'")


async def rotate(feed: asyncpg.Connection) -> int:
    return int(await feed.fetchval("select changefeed.rotate()"))


async def covers(feed: asyncpg.Connection, cursor: str) -> bool:
    """Whether a cursor is at or above the floor: what the reading side asks."""
    return bool(
        await feed.fetchval(
            """
            select s.floor is null
                or (pg_snapshot_xmax(c) >= pg_snapshot_xmax(s.floor)
                    and not exists (select from pg_snapshot_xip(c) x where pg_visible_in_snapshot(x, s.floor)))
              from changefeed.state s, cast($1::text as pg_snapshot) as c
            """,
            cursor,
        )
    )


async def here(feed: asyncpg.Connection) -> str:
    """A cursor: what can be seen now."""
    return str(await feed.fetchval("select pg_current_snapshot()::text"))


async def test_the_slots_are_a_ring_of_eight_whose_width_is_a_fifth_of_the_retention(feed: asyncpg.Connection) -> None:
    ring = await feed.fetch(
        "select changefeed.slot('2024-01-01 00:00+00'::timestamptz + n * interval '17280 s') as slot from generate_series(0, 9) n"
    )
    numbers = [row["slot"] for row in ring]
    assert [(number - numbers[0]) % 8 for number in numbers] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    await feed.execute("select changefeed.configure(retention => '10 seconds')")
    first, second, third = await feed.fetchval(
        "select array[changefeed.slot(t), changefeed.slot(t + interval '1.9 s'), changefeed.slot(t + interval '2 s')]"
        " from (select '2024-01-01 00:00+00'::timestamptz) as x (t)"
    )
    assert (second, third) == (first, (first + 1) % 8)


@pytest.mark.usefixtures("item")
async def test_an_event_lands_in_the_leaf_of_its_moment(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await move_on(feed, 0)
    await app.execute("insert into item values (1)")
    now = await slot(feed)
    assert await feed.fetchval(f"select count(*) from only changefeed.event_{now}") == 1
    await move_on(feed)
    await app.execute("insert into item values (2)")
    assert await feed.fetchval(f"select count(*) from only changefeed.event_{(now + 1) % 8}") == 1


@pytest.mark.usefixtures("item")
async def test_the_leaf_that_is_being_written_is_left_alone(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await app.execute("insert into item values (1)")
    assert await rotate(feed) == 0
    assert await feed.fetch(SEALED) == []


@pytest.mark.usefixtures("item")
async def test_a_leaf_is_sealed_when_its_time_is_over_and_emptied_when_retention_is(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await move_on(feed, 0)
    before = await here(feed)
    await app.execute("insert into item values (1)")
    leaf = await slot(feed)
    await move_on(feed)
    assert await rotate(feed) == 0
    assert [row["slot"] for row in await feed.fetch(SEALED)] == [leaf]
    await age(feed, 23)
    assert await rotate(feed) == 0
    assert len(await log.new()) == 1
    await age(feed, 2)
    after = await here(feed)
    assert await rotate(feed) == 1
    assert await feed.fetchval(f"select count(*) from only changefeed.event_{leaf}") == 0
    assert await feed.fetch(SEALED) == []
    assert not await covers(feed, before)
    assert await covers(feed, after)
    assert await rotate(feed) == 0


@pytest.mark.usefixtures("item")
async def test_a_leaf_that_was_sealed_by_a_clock_that_was_ahead_is_kept_no_longer_than_others(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await move_on(feed, 0)
    await app.execute("insert into item values (1)")
    await move_on(feed)
    assert await rotate(feed) == 0
    await age(feed, hours=-1000)
    assert await rotate(feed) == 0
    await age(feed)
    assert await rotate(feed) == 1


@pytest.mark.usefixtures("item")
async def test_a_cursor_that_did_not_see_a_late_committer_is_below_the_floor(
    app: asyncpg.Connection, other_app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    """It knows the row's transaction by name, as one that was running: times and ids would not tell."""
    await move_on(feed, 0)
    async with app.transaction():
        await app.execute("insert into item values (1)")
        await other_app.execute("insert into item values (2)")
        running = await here(feed)
    await move_on(feed)
    await rotate(feed)
    seen = await here(feed)
    await age(feed)
    assert await rotate(feed) == 1
    assert not await covers(feed, running)
    assert await covers(feed, seen)


@pytest.mark.usefixtures("item")
async def test_an_open_writer_pins_his_leaf_and_nobody_waits_for_him(
    app: asyncpg.Connection, other_app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await move_on(feed, 0)
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into item values (1)")
    await other_app.execute("insert into item values (2)")
    await move_on(feed)
    await feed.execute("set lock_timeout = '1ms'")
    assert await rotate(feed) == 0
    assert await feed.fetch(SEALED) == []
    await transaction.commit()
    assert await rotate(feed) == 0
    assert len(await feed.fetch(SEALED)) == 1


@pytest.mark.usefixtures("item")
async def test_a_leaf_that_somebody_reads_is_emptied_another_time(
    app: asyncpg.Connection, feed: asyncpg.Connection, database: Database
) -> None:
    await move_on(feed, 0)
    await app.execute("insert into item values (1)")
    await move_on(feed)
    await rotate(feed)
    await age(feed)
    async with connected(database.feed_dsn) as reader:
        await reader.execute("begin; select * from changefeed.event")
        await feed.execute("set lock_timeout = '1ms'")
        assert await rotate(feed) == 0
        assert await feed.fetchval(FLOOR) is None
        await reader.execute("commit")
    assert await rotate(feed) == 1
    assert await feed.fetchval(FLOOR) is not None


@pytest.mark.usefixtures("item")
async def test_a_row_that_came_after_the_seal_keeps_its_leaf_until_it_has_been_sealed_anew(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await move_on(feed, 0)
    await app.execute("insert into item values (1)")
    await move_on(feed)
    await rotate(feed)
    await move_on(feed, -1)  # a clock that was set back, or a backend that was paused
    before = await here(feed)
    await app.execute("insert into item values (2)")
    await move_on(feed)
    await age(feed)
    assert await rotate(feed) == 0
    assert len(await log.new()) == 2
    assert await feed.fetch(SEALED) == []
    assert await rotate(feed) == 0
    after = await here(feed)
    await age(feed)
    assert await rotate(feed) == 1
    assert not await covers(feed, before)
    assert await covers(feed, after)


@pytest.mark.usefixtures("item")
async def test_the_floor_never_sinks_when_an_older_leaf_is_emptied_after_a_newer_one(
    app: asyncpg.Connection, feed: asyncpg.Connection, database: Database
) -> None:
    await move_on(feed, 0)
    first = await slot(feed)
    await app.execute("insert into item values (1)")
    await move_on(feed)
    await rotate(feed)
    between = await here(feed)
    await app.execute("insert into item values (2)")
    await move_on(feed)
    await rotate(feed)
    await age(feed)
    async with connected(database.feed_dsn) as reader:
        await reader.execute(f"begin; select * from only changefeed.event_{first}")
        assert await rotate(feed) == 1
        await reader.execute("commit")
    assert not await covers(feed, between)
    floor = await feed.fetchval(FLOOR)
    assert await rotate(feed) == 1
    assert await feed.fetchval(FLOOR) == floor


@pytest.mark.usefixtures("item")
async def test_errors_are_still_counted_when_their_leaf_is_emptied(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await move_on(feed, 0)
    await app.execute("alter table item drop column name; insert into item (id) values (1)")
    await app.execute("insert into item (id) values (2)")
    await move_on(feed)
    await rotate(feed)
    await age(feed)
    assert await rotate(feed) == 1
    assert await feed.fetchval("select capture_errors from changefeed.state") == 2


@pytest.mark.usefixtures("item")
async def test_the_default_leaf_is_emptied_of_what_its_seal_can_see_and_raises_the_floor_too(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await move_on(feed, 0)
    await feed.execute(f"drop table changefeed.event_{await slot(feed)}")
    before = await here(feed)
    await app.execute("insert into item values (1)")
    await rotate(feed)
    assert [row["slot"] for row in await feed.fetch(SEALED)] == [-1]
    await app.execute("insert into item values (2)")
    await age(feed)
    assert await rotate(feed) == 1
    assert [event.key for event in await log.new()] == [{"id": 2}]
    assert not await covers(feed, before)
    assert await rotate(feed) == 0
    assert [row["slot"] for row in await feed.fetch(SEALED)] == [-1]


@pytest.mark.usefixtures("item")
async def test_a_shorter_retention_takes_effect_and_loses_nothing_that_is_not_old_enough(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await move_on(feed, 0)
    await app.execute("insert into item values (1)")
    await move_on(feed)
    await rotate(feed)
    await feed.execute("select changefeed.configure(retention => '2 hours')")
    await move_on(feed, 0)
    assert await rotate(feed) == 0
    assert len(await log.new()) == 1
    await age(feed, 3)
    leaf = int(await feed.fetchval(SEALED))
    if await slot(feed) == leaf:  # the ring turns otherwise now, and may stand on that very leaf
        await move_on(feed)
    assert await rotate(feed) == 1
