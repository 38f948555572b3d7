"""What the doctor says of the relay, its locks, the bell, the log and the keys."""

import asyncio
import signal
from typing import Any

import asyncpg
import pytest

from changefeed.feed import Feed
from changefeed.settings import Settings
from tests.operation.diagnosis import found, server_with, the, until
from tests.operation.pooler import pooled
from tests.support.database import Database
from tests.support.issuer import jwk, private_key, provider
from tests.support.service import LONGEST
from tests.support.site import Site


async def test_without_a_leader_it_says_how_to_get_one(database: Database) -> None:
    finding = the(await found(database, "leader"), "leader")
    assert finding.level == "problem"
    assert "changefeed relay" in str(finding.remedy)


async def test_a_frozen_leader_is_named_with_its_session(own: Site) -> None:
    process = await own.start()
    process.send_signal(signal.SIGSTOP)
    try:
        frozen = "select clock_timestamp() - state_change > interval '1.5 s' from pg_stat_activity"
        await until(
            own.feed, f"{frozen} where application_name = 'changefeed listener' and datname = current_database()"
        )
        diagnosis = await found(own.database, "leader", "flown", heartbeat_timeout=1.5)
        pid = await own.feed.fetchval(
            "select pid from pg_stat_activity where application_name = 'changefeed listener' and datname = current_database()"
        )
        finding = the(diagnosis, "leader")
        assert finding.level == "problem"
        assert f"select pg_terminate_backend({pid})" in str(finding.remedy)
        # It cannot say whether it has read the canary, and is named.
        assert f"database session {pid} did not say" in the(diagnosis, "processes").sentence
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("number", "level", "effect"),
    [
        (1, "warning", "cannot sleep"),
        (2, "problem", "no relay can lead"),
        (3, "warning", "does not ring"),
        (5, "warning", "cap"),
    ],
)
async def test_whoever_holds_our_locks_is_named_with_role_and_application(
    database: Database, feed: asyncpg.Connection, number: int, level: str, effect: str
) -> None:
    holder = await asyncpg.connect(database.app_dsn, server_settings={"application_name": "a nosy tool"})
    await holder.execute(f"select pg_advisory_lock(1667785319, {number})")
    finding = the(await found(database, "locks"), "locks")
    assert finding.level == level
    assert f"pid {holder.get_server_pid()} (app@{database.name}, a nosy tool" in finding.sentence
    assert effect in finding.sentence
    await feed.execute(str(finding.remedy).removeprefix("end it: ").partition(", and")[0])
    # In this database: on the same server other tests' relays hold theirs.
    await until(
        feed,
        "select not exists (select from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and l.classid = 1667785319::oid and d.datname = current_database())",
    )
    assert the(await found(database, "locks"), "locks").level == "ok"
    holder.terminate()


async def test_writers_who_share_the_lock_while_they_write_are_no_finding(
    database: Database, leading: Feed, app: asyncpg.Connection
) -> None:
    assert leading.pulse.leading
    async with app.transaction():
        await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
        await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
        assert the(await found(database, "locks"), "locks").level == "ok"


async def test_capture_that_has_stopped_is_a_problem(database: Database, feed: asyncpg.Connection) -> None:
    await feed.execute("update changefeed.state set until = clock_timestamp() - interval '1 hour'")
    diagnosis = await found(database, "lease", "flown")
    assert "capture stopped 3600 s ago" in the(diagnosis, "capture").sentence
    assert "not captured" in the(diagnosis, "canary").sentence


async def test_a_pooler_in_the_way_is_recognised(database: Database) -> None:
    async with pooled(database.feed_dsn) as dsn:
        diagnosis = await found(database, "listen", "flown", dsn=dsn)
    finding = the(diagnosis, "listen")
    assert finding.level == "problem"
    assert "pooler" in finding.sentence
    assert "no relay can start" in the(diagnosis, "canary").sentence


async def test_a_bell_that_is_off_though_it_could_be_on_is_told(database: Database, feed: asyncpg.Connection) -> None:
    assert the(await found(database, "doorbell"), "doorbell").level == "ok"
    await feed.execute("select changefeed.configure(doorbell => false)")
    finding = the(await found(database, "doorbell"), "doorbell")
    assert finding.level == "warning"
    assert "CHANGEFEED_DOORBELL" in str(finding.remedy)


async def test_an_orphaned_prepared_transaction_and_a_bell_that_would_break_others_are_named() -> None:
    async with server_with(max_prepared_transactions="4") as database:
        app = await asyncpg.connect(database.app_dsn)
        await app.execute("begin; insert into app_user (email) values ('a'); prepare transaction 'forgotten one'")
        diagnosis = await found(database, "prepared", "doorbell", patience=0.0)
        finding = the(diagnosis, "prepared-transactions")
        assert finding.level == "problem"
        assert "'forgotten one' of app was prepared" in finding.sentence
        assert the(diagnosis, "doorbell").level == "warning"
        assert "PREPARE TRANSACTION fails" in the(diagnosis, "doorbell").sentence
        # Young ones are in order.
        assert the(await found(database, "prepared"), "prepared-transactions").level == "ok"
        await app.execute(str(finding.remedy).rpartition(", or ")[2])
        async with Feed(Settings(dsn=database.feed_dsn)) as feed:
            await feed.pulse.until(lambda: feed.pulse.leading)
            diagnosis = await found(database, "prepared", "doorbell", patience=0.0)
        assert the(diagnosis, "prepared-transactions").level == "ok"
        assert "off, because max_prepared_transactions is 4" in the(diagnosis, "doorbell").sentence
        await app.close()


async def test_a_queue_that_fills_is_told_with_who_holds_it_up() -> None:
    async with server_with(max_notify_queue_pages="64") as database:
        blocked = await asyncpg.connect(database.app_dsn, server_settings={"application_name": "sits and listens"})
        await blocked.execute("listen anything")
        await blocked.execute("begin; select 1")
        app = await asyncpg.connect(database.app_dsn)
        for part, level in ((0.2, "warning"), (0.6, "problem")):
            async with asyncio.timeout(LONGEST):
                while await app.fetchval("select pg_notification_queue_usage()") < part:
                    await app.execute(
                        "select pg_notify('anything', repeat('x', 7000) || n) from generate_series(1, 3) as n"
                    )
            finding = the(await found(database, "queue"), "notification-queue")
            assert finding.level == level
            assert f"pid {blocked.get_server_pid()} (app@{database.name}, sits and listens" in finding.sentence
        await blocked.execute("rollback")
        await app.execute("listen anything")
        await until(app, "select pg_notification_queue_usage() < 0.1")
        assert the(await found(database, "queue"), "notification-queue").level == "ok"
        for connection in (blocked, app):
            connection.terminate()


async def test_a_long_transaction_is_named(database: Database, app: asyncpg.Connection) -> None:
    async with app.transaction():
        await app.execute("select 1")
        finding = the(await found(database, "long_transactions", patience=0.0), "long-transactions")
        assert finding.level == "warning"
        assert f"pid {app.get_server_pid()} (app@{database.name}" in finding.sentence
    assert the(await found(database, "long_transactions", patience=0.0), "long-transactions").level == "ok"


async def test_a_writer_that_pins_a_leaf_is_named(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await feed.execute("select changefeed.configure(retention => '5 seconds')")
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
    await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
    await until(
        feed,
        "select count(*) = 1 from changefeed.leaf l join pg_locks k on k.relation = l.relation::oid"
        " where k.mode = 'RowExclusiveLock'"
        "   and l.slot not in (changefeed.slot(), changefeed.slot(clock_timestamp() - interval '1 second'))",
    )
    finding = the(await found(database, "leaves"), "log")
    assert finding.level == "warning"
    assert f"pid {app.get_server_pid()} (app@{database.name}" in finding.sentence
    await transaction.rollback()
    assert the(await found(database, "leaves"), "log").level == "ok"


async def test_rows_that_should_be_gone_are_told(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await feed.execute("select changefeed.configure(retention => '1 second')")
    await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
    await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
    assert the(await found(database, "retention"), "retention").level == "ok"
    await until(feed, "select min(at) < clock_timestamp() - interval '2.1 s' from changefeed.event")
    assert the(await found(database, "retention"), "retention").level == "warning"


async def test_without_any_key_nobody_could_be_let_in(database: Database) -> None:
    finding = the(await found(database, "keys", jwt_secret=None), "tokens")
    assert finding.level == "warning"
    assert "CHANGEFEED_JWT_JWKS_URL" in str(finding.remedy)


async def test_a_key_that_cannot_be_read_is_a_problem(database: Database) -> None:
    key = "-----BEGIN PUBLIC KEY-----\nbm90aGluZw==\n-----END PUBLIC KEY-----"
    finding = the(await found(database, "keys", jwt_secret=None, jwt_public_key=key), "tokens")
    assert (finding.level, "cannot be read" in finding.sentence) == ("problem", True)


async def test_a_provider_is_asked_for_its_keys(database: Database) -> None:
    with provider() as issuer:
        options: dict[str, Any] = {"jwt_secret": None, "jwt_jwks_url": issuer.url}
        finding = the(await found(database, "keys", **options), "tokens")
        # The provider publishes none so far; and no audience is set.
        assert finding.level == "problem"
        issuer.keys = [jwk(private_key("ES256"), "1")]
        assert the(await found(database, "keys", **options), "tokens").level == "warning"
        assert the(await found(database, "keys", jwt_audience="us", **options), "tokens").level == "ok"
    finding = the(await found(database, "keys", **options), "tokens")
    assert finding.level == "problem"
    assert "no keys could be fetched from 127.0.0.1" in finding.sentence
