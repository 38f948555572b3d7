"""When a writer rings: only while the relay sleeps, once for a transaction and table, and never where it must not."""

import asyncpg
import pytest

from tests.sql.vocabulary import ASLEEP, LOCK_CLASS, Bell, Log, connected
from tests.support.database import Database, Databases
from tests.support.server import embedded_server


async def test_nobody_is_rung_while_the_relay_is_awake(
    app: asyncpg.Connection, item: str, bell: Bell, log: Log
) -> None:
    await app.execute("insert into item values (1)")
    assert await bell.rung() == []
    assert (await log.only()).source == item


async def test_a_sleeping_relay_is_rung_with_the_tables_name_and_nothing_else(
    app: asyncpg.Connection, item: str, bell: Bell
) -> None:
    await bell.fall_asleep()
    await app.execute("insert into item (id, name) values (1, 'secret')")
    assert await bell.rung() == [item]


async def test_a_transaction_rings_once_for_each_table(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, bell: Bell
) -> None:
    await app.execute("create table other (id int primary key)")
    await feed.execute("select changefeed.watch('other', 'id')")
    await bell.fall_asleep()
    await app.execute(
        """
        begin;
        insert into item values (1), (2);
        insert into other values (1);
        update item set n = 1;
        delete from other;
        commit;
        """
    )
    assert await bell.rung() == [item, "public.other"]
    await app.execute("insert into item values (3)")
    assert await bell.rung() == [item]


async def test_what_writes_nothing_to_the_log_rings_nobody(app: asyncpg.Connection, item: str, bell: Bell) -> None:
    await app.execute("insert into item values (1)")
    await bell.fall_asleep()
    await app.execute("update item set n = n")
    await app.execute("update item set note = '[]'")
    await app.execute("begin; update item set n = 5; rollback")
    await app.execute("begin; set local changefeed.skip = on; update item set n = 6; commit")
    assert await bell.rung() == []
    assert item == "public.item"


async def test_a_savepoint_that_is_rolled_back_rings_nobody_and_what_follows_does(
    app: asyncpg.Connection, item: str, bell: Bell
) -> None:
    await bell.fall_asleep()
    await app.execute("begin; savepoint s; insert into item values (1); rollback to s; commit")
    assert await bell.rung() == []
    await app.execute(
        "begin; savepoint s; insert into item values (1); rollback to s; insert into item values (2); commit"
    )
    assert await bell.rung() == [item]


@pytest.mark.parametrize("op", ["truncate item", "alter table item drop column name; delete from item"])
async def test_truncates_and_errors_ring_as_well(app: asyncpg.Connection, item: str, bell: Bell, op: str) -> None:
    await app.execute("insert into item values (1)")
    await bell.fall_asleep()
    await app.execute(op)
    assert await bell.rung() == [item]


async def test_a_relay_cannot_fall_asleep_while_a_writer_believes_it_awake(
    app: asyncpg.Connection, item: str, bell: Bell, log: Log
) -> None:
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into item values (1)")
    assert not await bell.fall_asleep()
    await transaction.commit()
    # The lock goes when the commit has become visible: whoever gets it sees the row.
    assert await bell.fall_asleep()
    assert (await log.only()).source == item


async def test_a_writer_who_was_refused_holds_nothing_and_one_who_wrote_nothing_neither(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, bell: Bell
) -> None:
    # In this database: on the same server other tests' relays hold theirs.
    held = (
        "select count(*) from pg_locks l join pg_database d on d.oid = l.database and d.datname = current_database()"
        " where l.locktype = 'advisory' and l.classid = $1 and l.objid = $2 and l.granted"
    )
    await app.execute("insert into item values (1)")
    async with app.transaction():
        await app.execute("update item set n = n")
        assert await feed.fetchval(held, LOCK_CLASS, ASLEEP) == 0
    await bell.fall_asleep()
    async with app.transaction():
        await app.execute("update item set n = 5")
        assert await feed.fetchval(held, LOCK_CLASS, ASLEEP) == 1
    assert await bell.rung() == [item]


async def test_a_savepoint_that_is_rolled_back_gives_the_lock_back_and_what_follows_takes_it_anew(
    app: asyncpg.Connection, item: str, bell: Bell
) -> None:
    assert item == "public.item"
    await app.execute("begin; savepoint s; insert into item values (1); rollback to s")
    assert await bell.fall_asleep()
    await bell.wake()
    await app.execute("insert into item values (2)")
    assert not await bell.fall_asleep()
    await app.execute("commit")
    assert await bell.fall_asleep()


async def test_a_relay_that_dies_leaves_nobody_ringing(
    app: asyncpg.Connection, item: str, bell: Bell, database: Database
) -> None:
    """Writers believe it awake; whoever takes over reads the log."""
    async with connected(database.feed_dsn) as relay:
        assert await relay.fetchval("select pg_try_advisory_lock($1, $2)", LOCK_CLASS, ASLEEP)
        await relay.close()
    assert await bell.fall_asleep()
    await bell.wake()
    await app.execute("insert into item values (1)")
    assert await bell.rung() == []
    assert item == "public.item"


async def test_with_the_doorbell_off_nobody_rings_and_no_lock_is_taken(
    app: asyncpg.Connection, feed: asyncpg.Connection, item: str, bell: Bell, log: Log
) -> None:
    await feed.execute("select changefeed.configure(doorbell => false)")
    await bell.fall_asleep()
    await app.execute("insert into item values (1)")
    await app.execute("alter table item drop column name; delete from item")
    assert await bell.rung() == []
    assert [event.op for event in await log.new(item)] == ["insert", "error"]
    await bell.wake()
    async with app.transaction():
        await app.execute("truncate item")
        assert await bell.fall_asleep()


async def test_without_the_doorbell_transactions_can_be_prepared() -> None:
    with embedded_server() as server:
        assert server.postgres is not None
        async with Databases(server).clone(migrated=True) as database, connected(database.admin_dsn) as admin:
            await admin.execute("alter system set max_prepared_transactions = 2")
            server.postgres.stop()
            server.postgres.start()
            async with (
                connected(database.app_dsn) as app,
                connected(database.feed_dsn) as feed,
                connected(database.feed_dsn) as relay,
            ):
                await app.execute("create table item (id int primary key, owner text)")
                await feed.execute("select changefeed.watch('item', 'owner')")
                bell = Bell(relay)
                await bell.fall_asleep()
                await app.execute("begin; insert into item values (1)")
                with pytest.raises(asyncpg.FeatureNotSupportedError, match="NOTIFY"):
                    await app.execute("prepare transaction 'rung'")
                await feed.execute("select changefeed.configure(doorbell => false)")
                await app.execute("begin; insert into item values (2); prepare transaction 'quiet'")
                log = Log(feed)
                assert await log.new() == []
                await app.execute("commit prepared 'quiet'")
                assert (await log.only()).key == {"id": 2}
                # Awake, with the doorbell on: the lock goes along with the prepared transaction.
                await bell.wake()
                await feed.execute("select changefeed.configure(doorbell => true)")
                await app.execute("begin; insert into item values (3); prepare transaction 'awake'")
                assert not await bell.fall_asleep()
                await app.execute("commit prepared 'awake'")
                assert await bell.fall_asleep()
