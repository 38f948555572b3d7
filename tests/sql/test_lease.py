"""max_absence: without a relay the capture stops by itself, and the relay that comes back learns of it."""

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log

EXTEND = "select changefeed.extend()"


async def expire(feed: asyncpg.Connection) -> None:
    """As if no relay had been there for max_absence."""
    await feed.execute("update changefeed.state set until = clock_timestamp() - interval '1 second'")


@pytest.mark.usefixtures("tree")
async def test_when_the_lease_has_run_out_writes_succeed_and_nothing_is_recorded_or_rung(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log, bell: Bell
) -> None:
    await app.execute("insert into folder values (1, 'anne'); insert into file values (10, 1)")
    await log.new()
    await expire(feed)
    await bell.fall_asleep()
    await app.execute("insert into file values (20, 1); update folder set owner = 'bert'; truncate line")
    await app.execute("alter table file drop column name; delete from file")
    assert await log.new() == []
    assert await bell.rung() == []


@pytest.mark.usefixtures("item")
async def test_the_relay_that_comes_back_is_told_once_and_capture_goes_on(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    assert await feed.fetchval(EXTEND) is False
    await expire(feed)
    await app.execute("insert into item values (1)")
    assert await feed.fetchval(EXTEND) is True
    await app.execute("insert into item values (2)")
    assert (await log.only()).key == {"id": 2}
    assert await feed.fetchval(EXTEND) is False


@pytest.mark.usefixtures("item")
async def test_a_transaction_that_was_not_captured_makes_a_new_epoch_necessary_when_it_ends(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    """It commits after everybody has refetched, and no event will ever tell of it."""
    await expire(feed)
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into item values (1)")
    assert [await feed.fetchval(EXTEND) for _ in range(3)] == [True, False, False]
    await app.execute("insert into item values (2)")
    await transaction.commit()
    assert await log.new() == []
    assert [await feed.fetchval(EXTEND) for _ in range(3)] == [True, False, False]


@pytest.mark.usefixtures("item")
async def test_each_of_those_who_were_not_captured_makes_one_necessary_however_long_another_goes_on(
    app: asyncpg.Connection, other_app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await expire(feed)
    await app.execute("begin; insert into item values (1)")
    await other_app.execute("begin; insert into item values (2)")
    assert [await feed.fetchval(EXTEND) for _ in range(2)] == [True, False]
    await app.execute("commit")
    assert [await feed.fetchval(EXTEND) for _ in range(2)] == [True, False]
    await other_app.execute("commit")
    assert [await feed.fetchval(EXTEND) for _ in range(2)] == [True, False]


@pytest.mark.usefixtures("item")
async def test_what_was_not_captured_while_the_clock_was_ahead_is_known_when_it_is_right_again(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await expire(feed)
    await app.execute("insert into item values (1)")
    await feed.execute("update changefeed.state set until = clock_timestamp() + interval '1 hour'")
    await app.execute("insert into item values (2)")
    assert (await log.only()).key == {"id": 2}
    assert [await feed.fetchval(EXTEND) for _ in range(3)] == [True, False, False]


async def test_a_lease_lasts_as_long_as_a_relay_may_be_away(feed: asyncpg.Connection) -> None:
    await feed.execute("select changefeed.configure(max_absence => '1 hour')")
    await feed.execute(EXTEND)
    assert await feed.fetchval(
        "select until between clock_timestamp() + interval '59 minutes' and clock_timestamp() + interval '1 hour'"
        " from changefeed.state"
    )


async def test_configure_changes_what_it_is_given_and_nothing_else(feed: asyncpg.Connection) -> None:
    settings = "select array[retention::text, max_absence::text, doorbell::text] from changefeed.state"
    assert await feed.fetchval(settings) == ["24:00:00", "24:00:00", "true"]
    await feed.execute("select changefeed.configure(doorbell => false)")
    await feed.execute("select changefeed.configure(max_absence => '2 hours')")
    await feed.execute("select changefeed.configure(retention => '10 hours')")
    assert await feed.fetchval(settings) == ["10:00:00", "02:00:00", "false"]
    await feed.execute("select changefeed.configure()")
    assert await feed.fetchval(settings) == ["10:00:00", "02:00:00", "false"]


@pytest.mark.parametrize("setting", ["retention => '0'", "max_absence => '-1 hour'", "retention => '999 ms'"])
async def test_a_duration_that_cannot_be_meant_is_refused(feed: asyncpg.Connection, setting: str) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="at least one second"):
        await feed.execute(f"select changefeed.configure({setting})")
