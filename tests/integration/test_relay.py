"""The relay among others: one leads, whoever is lost is replaced, and the sessions notice none of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import asyncpg
import pytest

from changefeed import feed as feed_module
from changefeed import relay as relay_module
from changefeed.feed import Feed
from changefeed.listener import ASLEEP, LEADER, LOCK_CLASS
from changefeed.settings import Settings
from tests.integration.relays import end_listeners, until_more
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Everything,
    Tasks,
    live,
    marks_until,
    people,
    told,
    under_load,
    until_alone,
    until_asleep,
    until_live,
    until_true,
)
from tests.support.database import Database, alembic
from tests.support.proxy import Proxy


async def test_a_listener_whose_session_is_ended_goes_on_from_where_it_was(
    database: Database, admin: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        everything = Everything(running)

        async def trouble() -> None:
            for _ in range(5):
                connections = running.pulse.connections
                await end_listeners(admin)
                assert await running.pulse.until(until_more(running, connections), PATIENCE)

        viewers = await under_load(database, [running], trouble, seed=14)
        assert [viewer.resyncs for viewer in viewers] == [[], [], []]
        assert [viewer.outcomes for viewer in viewers] == [["fresh"]] * 3
        assert (everything.repeats, everything.restarts) == (0, 0)


async def test_a_window_that_is_interrupted_is_not_published_twice(database: Database, app: Connection) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, page_rows=5) as running:
        tasks = await Tasks.of(app, people(1)[0])
        network.refusing = True
        network.cut()
        assert await running.pulse.until(lambda: not running.pulse.connected, PATIENCE)
        # Captured while nobody looks, so that all of it is one window.
        for _ in range(60):
            await tasks.add()
        everything = Everything(running)
        cuts = 0

        class Cutter:
            def published(self, _events: object, _cursor: object) -> None:
                nonlocal cuts
                if cuts < 3 and len(everything.events) > 15 * (cuts + 1):
                    cuts += 1
                    network.cut()

            def restarted(self, _cursor: object) -> None:
                """Does not happen."""

        running.hub.taps.add(Cutter())
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            network.refusing = False
            assert await marks_until(subscription, 60) == list(range(1, 61))
        assert (cuts, everything.repeats, everything.restarts) == (3, 0, 0)
        assert everything.marks >= set(range(1, 61))


async def test_windows_in_pages_under_load_lose_nothing(database: Database, admin: Connection) -> None:
    async with live(database.feed_dsn, page_rows=3) as running:

        async def trouble() -> None:
            windows = running.pulse.windows
            assert await running.pulse.until(lambda: running.pulse.windows > windows + 3, PATIENCE)
            await end_listeners(admin)

        viewers = await under_load(database, [running], trouble, seed=15)
        assert running.pulse.windows > 3
        assert not any(viewer.resyncs for viewer in viewers)


async def test_a_frozen_network_is_noticed_and_nothing_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ANSWER_SECONDS", 0.5)
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn) as running:

        async def trouble() -> None:
            network.freeze()
            assert await running.pulse.until(lambda: not running.pulse.connected, PATIENCE)
            assert "TimeoutError" in (running.pulse.problem or "")
            network.thaw()
            await until_live(running)

        viewers = await under_load(database, [running], trouble, seed=16)
        assert not any(viewer.resyncs for viewer in viewers)
    await until_alone()


async def test_a_half_open_connection_is_replaced_though_the_server_keeps_the_old_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ANSWER_SECONDS", 0.5)
    async with (
        Proxy.to(database.feed_dsn) as network,
        live(network.dsn, heartbeat_timeout=1, safety_interval=0.2) as running,
    ):

        async def trouble() -> None:
            network.half_open()
            # The old session still holds the leader's lock: it is taken for a frozen leader, and ended.
            assert await running.pulse.until(lambda: not running.pulse.leading, PATIENCE)
            assert await running.pulse.until(lambda: running.pulse.leading, PATIENCE)

        viewers = await under_load(database, [running], trouble, seed=17)
        assert not any(viewer.resyncs for viewer in viewers)
    await until_alone()


async def test_a_slow_network_only_makes_it_slow(database: Database) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, page_rows=20) as running:

        async def trouble() -> None:
            network.delay = 0.01
            network.bytes_per_second = 200_000
            looks = running.pulse.looks
            assert await running.pulse.until(lambda: running.pulse.looks > looks + 3, PATIENCE)
            network.delay = network.bytes_per_second = 0

        viewers = await under_load(database, [running], trouble, seed=18)
        assert (running.pulse.connections, [viewer.resyncs for viewer in viewers]) == (1, [[], [], []])


async def test_a_schema_that_is_not_there_is_named_with_what_to_do(host_database: Database) -> None:
    for may_lead in (True, False):
        async with Feed(Settings(dsn=host_database.feed_dsn, relay=may_lead)) as running:
            assert await running.pulse.until(lambda: running.pulse.failure is not None, PATIENCE)
            assert "changefeed migrate" in running.pulse.reasons[0]


async def test_a_schema_that_is_dropped_and_comes_back_makes_everybody_refetch(
    database: Database, app: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            await alembic(database.feed_dsn, "downgrade", "base")
            assert await running.pulse.until(lambda: "changefeed migrate" in (running.pulse.problem or ""), PATIENCE)
            await alembic(database.feed_dsn, "upgrade", "head")
            await until_live(running)
            said = await told(subscription)
            assert [(message["type"], message["data"]["reason"]) for message in said] == [("resync", "epoch")]
            task = await tasks.add()
            await marks_until(subscription, 1)
            assert await marks_until(subscription, await tasks.move(task)) == [2]


async def test_an_open_transaction_on_our_tables_delays_the_chores_and_no_event(
    database: Database,
    app: Connection,
    admin: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("changefeed.chores.RETRY_PAUSE", 0.01)
    tasks = await Tasks.of(app, people(1)[0])
    blocker = admin.transaction()
    await blocker.start()
    # As a migration does that has called watch() and not yet committed.
    await admin.execute("update changefeed.state set watch_changes = watch_changes")
    async with live(database.feed_dsn, retention="48:00:00") as running:
        assert running.pulse.leading
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            task = await tasks.add()
            await marks_until(subscription, 1)
            assert await marks_until(subscription, await tasks.move(task)) == [2]
            # What could not be told to the database is not relied on.
            assert running.pulse.slept == 0
            assert "the leader's chores failed" in caplog.text
            await blocker.rollback()
            await until_asleep(running)


async def test_what_is_wrong_is_said_once_and_not_with_each_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "changefeed.relay")
    async with Proxy("127.0.0.1", 1) as nowhere:
        nowhere.refusing = True
        dsn = f"postgresql://nobody@127.0.0.1:{nowhere.port}/nothing"
        async with Feed(Settings(dsn=dsn)) as running:
            attempts = 0

            def moved() -> bool:
                nonlocal attempts
                attempts = nowhere.accepted
                return attempts >= 5

            assert await running.pulse.until(moved, PATIENCE)
            assert not running.pulse.live
    texts = {record.getMessage() for record in caplog.records}
    assert len(caplog.records) == len(texts)


async def test_leaving_the_feed_frees_its_locks_and_ends_its_sessions(database: Database, admin: Connection) -> None:
    async with live(database.feed_dsn) as running:
        await until_asleep(running)
        await running.pool.fetchval("select 1")
    for lock in (LEADER, ASLEEP):
        # Had at once, or when the server has noticed; never while the session lives.
        await admin.execute("select pg_advisory_lock($1, $2)", LOCK_CLASS, lock, timeout=PATIENCE)


async def test_leaving_the_feed_waits_for_no_network(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("changefeed.feed.CLOSE_SECONDS", 0.2)
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, pool_size=1) as running:
        await running.pool.fetchval("select 1")
        network.freeze()
        stuck = [asyncio.create_task(pool.fetchval("select 2")) for pool in (running.pool, running.host_pool)]
        # As a task of the feed's own that is cancelled meanwhile.
        await until_true(lambda: running.pool.get_idle_size() == 0)
        stuck[0].cancel()
        async with asyncio.timeout(PATIENCE):
            await running.__aexit__(None, None, None)
        for ended in await asyncio.gather(*stuck, return_exceptions=True):
            assert isinstance(ended, asyncpg.InterfaceError | asyncpg.PostgresError | OSError | asyncio.CancelledError)
    await until_alone()


async def test_a_task_that_does_not_end_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("changefeed.feed.CLOSE_SECONDS", 0.05)
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await feed_module._ended(task)
    assert not task.done()
    released.set()
    await task
