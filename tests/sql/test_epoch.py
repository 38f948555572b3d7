"""begin_epoch(): one identity of the log for as long as nothing of it was lost, and another one afterwards."""

import asyncio

import asyncpg
import pytest

from tests.sql.vocabulary import Log, connected
from tests.support.database import Database, Databases
from tests.support.server import Server, embedded_server

BEGIN = "select changefeed.begin_epoch()"
NOW = "select changefeed.epoch()"


async def test_there_is_none_until_somebody_begins_one_and_then_it_stays(feed: asyncpg.Connection) -> None:
    assert await feed.fetchval(NOW) is None
    epoch = await feed.fetchval(BEGIN)
    assert len(epoch) == 16
    assert int(epoch, 16) >= 0
    assert [await feed.fetchval(NOW), await feed.fetchval(BEGIN)] == [epoch, epoch]
    assert await feed.fetchval("select count(*) from changefeed.epoch") == 1


async def test_it_can_be_renewed(feed: asyncpg.Connection) -> None:
    epochs = [
        await feed.fetchval("select changefeed.begin_epoch(renew => $1)", renew) for renew in (False, True, False, True)
    ]
    assert epochs[1] == epochs[2]
    assert len(set(epochs)) == 3


async def test_several_who_begin_at_the_same_time_begin_one(database: Database) -> None:
    async def begin() -> str:
        async with connected(database.feed_dsn) as connection:
            return str(await connection.fetchval(BEGIN))

    assert len(set(await asyncio.gather(*(begin() for _ in range(8))))) == 1


async def test_a_copy_of_a_database_has_an_epoch_of_its_own(
    feed: asyncpg.Connection, admin: asyncpg.Connection, database: Database
) -> None:
    epoch = await feed.fetchval(BEGIN)
    uuid = await feed.fetchval("select id from changefeed.epoch")
    await feed.close()
    copy = f"{database.name}_copy"
    async with connected(database.admin_dsn.replace(f"/{database.name}", "/postgres")) as server:
        await admin.close()
        await server.execute(f'create database "{copy}" template "{database.name}"')
        try:
            async with connected(database.admin_dsn.replace(f"/{database.name}", f"/{copy}")) as other:
                assert await other.fetchval("select id from changefeed.epoch") == uuid
                assert await other.fetchval(NOW) not in (None, epoch)
        finally:
            await server.execute(f'drop database "{copy}" with (force)')


async def test_rows_from_the_future_are_deleted_when_an_epoch_begins(feed: asyncpg.Connection, log: Log) -> None:
    """A restored dump holds ids that this server has not given out yet."""
    await feed.execute(
        """
        insert into changefeed.event (source, op, xid)
        select 'past', 'insert', pg_snapshot_xmin(pg_current_snapshot())
        union all select 'future', 'insert', (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + n)::text::xid8
          from generate_series(100, 102) n
        """
    )
    await feed.execute(BEGIN)
    assert [event.source for event in await log.new()] == ["past"]


async def test_seals_and_floor_of_another_life_are_forgotten(feed: asyncpg.Connection) -> None:
    await feed.execute(
        "update changefeed.state set floor = '900000:900000:'; update changefeed.leaf set sealed_at = now(),"
        " snapshot = '900000:900000:' where slot = 3"
    )
    await feed.execute(BEGIN)
    assert await feed.fetchval("select floor from changefeed.state") is None
    assert (
        await feed.fetchval("select count(*) from changefeed.leaf where sealed_at is not null or snapshot is not null")
        == 0
    )


async def test_to_renew_within_one_life_keeps_floor_and_rows(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, log: Log
) -> None:
    await feed.execute(BEGIN)
    await app.execute("insert into item values (1)")
    await feed.execute("update changefeed.state set floor = pg_current_snapshot()")
    await feed.execute("select changefeed.begin_epoch(true)")
    assert (await log.only()).source == item
    assert await feed.fetchval("select floor from changefeed.state") is not None


async def test_a_clean_restart_keeps_the_rows_and_begins_an_epoch(
    private_server: Server, private_database: Database
) -> None:
    assert private_server.postgres is not None
    async with connected(private_database.app_dsn) as app, connected(private_database.feed_dsn) as feed:
        await app.execute("create table item (id int primary key)")
        await feed.execute("select changefeed.watch('item', 'id')")
        epoch = await feed.fetchval(BEGIN)
        await app.execute("insert into item values (1)")
    await asyncio.to_thread(private_server.postgres.stop)
    await asyncio.to_thread(private_server.postgres.start)
    async with connected(private_database.feed_dsn) as feed:
        assert await feed.fetchval(NOW) is None
        assert await feed.fetchval(BEGIN) not in (None, epoch)
        assert (await Log(feed).only()).key == {"id": 1}


async def test_a_crash_empties_the_log_and_its_identity_and_capture_goes_on(
    private_server: Server, private_database: Database
) -> None:
    assert private_server.postgres is not None
    async with connected(private_database.app_dsn) as app, connected(private_database.feed_dsn) as feed:
        await app.execute("create table item (id int primary key)")
        await feed.execute("select changefeed.watch('item', 'id')")
        epoch = await feed.fetchval(BEGIN)
        await app.execute("insert into item values (1)")
    await asyncio.to_thread(private_server.postgres.kill)
    await asyncio.to_thread(private_server.postgres.start)
    async with connected(private_database.app_dsn) as app, connected(private_database.feed_dsn) as feed:
        assert await feed.fetchval("select count(*) from changefeed.event") == 0
        assert await feed.fetchval("select count(*) from changefeed.epoch") == 0
        assert await feed.fetchval("select count(*) from changefeed.state") == 1
        assert await feed.fetchval(NOW) is None
        await app.execute("insert into item values (2)")
        assert await feed.fetchval(BEGIN) not in (None, epoch)
        assert (await Log(feed).only()).key == {"id": 2}


async def test_the_end_of_a_transaction_that_was_prepared_before_begins_another_one() -> None:
    with embedded_server() as server:
        assert server.postgres is not None
        async with Databases(server).clone(migrated=True) as database:
            async with connected(database.admin_dsn) as admin:
                await admin.execute("alter system set max_prepared_transactions = 3")
            server.postgres.stop()
            server.postgres.start()
            async with connected(database.app_dsn) as app, connected(database.feed_dsn) as feed:
                await feed.execute("select changefeed.configure(doorbell => false)")
                await app.execute("create table item (id int primary key)")
                await feed.execute("select changefeed.watch('item', 'id')")
                await app.execute("begin; insert into item values (1); prepare transaction 'before'")
            server.postgres.kill()
            server.postgres.start()
            async with connected(database.app_dsn) as app, connected(database.feed_dsn) as feed:
                epoch = await feed.fetchval(BEGIN)
                await app.execute("begin; insert into item values (2); prepare transaction 'after'")
                await app.execute("commit prepared 'after'")
                assert await feed.fetchval(BEGIN) == epoch
                await app.execute("commit prepared 'before'")
                assert await app.fetchval("select count(*) from item") == 2
                assert [event.key for event in await Log(feed).new()] == [{"id": 2}]
                # The same name again does not hide that the former one has ended.
                await app.execute("begin; insert into item values (3); prepare transaction 'before'")
                later = await feed.fetchval(BEGIN)
                assert later != epoch
                assert await feed.fetchval(BEGIN) == later
                await app.execute("rollback prepared 'before'")
                assert await feed.fetchval(BEGIN) != later


@pytest.mark.parametrize("call", [NOW, BEGIN])
async def test_it_needs_no_more_than_the_rights_of_the_logs_owner(feed: asyncpg.Connection, call: str) -> None:
    assert not await feed.fetchval("select rolsuper from pg_roles where rolname = current_user")
    await feed.execute(call)
