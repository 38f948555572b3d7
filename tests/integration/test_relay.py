"""The relay among others: one leads, whoever is lost is replaced, and the sessions notice none of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from changefeed import feed as feed_module
from changefeed import relay as relay_module
from changefeed.feed import Feed
from changefeed.listener import ASLEEP, LEADER, LOCK_CLASS
from changefeed.settings import Settings
from changefeed.sql import query
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
    until_seen,
    until_true,
)
from tests.support.database import ROOT, Database, alembic
from tests.support.proxy import Proxy


class Process:
    """`changefeed relay`, as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, word: str) -> None:
        """Waits until it says so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stderr.readline()).decode():
                if word in line:
                    return
        pytest.fail(f"the process ended without saying {word!r}")


@asynccontextmanager
async def relay_process(dsn: str, **settings: Any) -> AsyncIterator[Process]:
    """One that runs, and is gone in the end."""
    environment = {f"CHANGEFEED_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "changefeed",
        "relay",
        cwd=ROOT,
        env={**os.environ, "CHANGEFEED_DSN": dsn, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_leader(admin: Connection) -> None:
    """End the leading session, as an administrator would."""
    row = await admin.fetchrow(query("leader"), LOCK_CLASS, LEADER)
    assert row is not None
    assert await admin.fetchval("select pg_terminate_backend($1)", row["pid"])


async def end_listeners(admin: Connection) -> None:
    """End every relay's session."""
    await admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'changefeed listener'"
    )


def until_more(running: Feed, connections: int) -> Callable[[], bool]:
    """Whether it has connected once more."""
    return lambda: running.pulse.connected and running.pulse.connections > connections


async def somebody_leads(*feeds: Feed) -> None:
    """Waits until one of them leads."""
    waiting = [
        asyncio.create_task(running.pulse.until(lambda pulse=running.pulse: pulse.leading, PATIENCE))  # type: ignore[misc]
        for running in feeds
    ]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.result() for task in done)


async def test_of_three_exactly_one_leads_and_when_it_goes_exactly_one_of_the_others(database: Database) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(live(database.feed_dsn))
        assert first.pulse.leading
        async with live(database.feed_dsn) as second, live(database.feed_dsn) as third:
            assert [second.pulse.leading, third.pulse.leading] == [False, False]
            await stack.aclose()
            await somebody_leads(second, third)
            for running in (second, third):
                await running.relay.look_anew(PATIENCE)
            assert sorted([second.pulse.leading, third.pulse.leading]) == [False, True]


async def test_the_end_of_the_leaders_session_loses_nothing(database: Database, admin: Connection) -> None:
    async with live(database.feed_dsn) as one, live(database.feed_dsn) as other:

        async def trouble() -> None:
            for _ in range(3):
                leader = one if one.pulse.leading else other
                connections = leader.pulse.connections
                await end_leader(admin)
                assert await leader.pulse.until(until_more(leader, connections), PATIENCE)
                await somebody_leads(one, other)

        viewers = await under_load(database, [one, other], trouble, seed=11)
        # Nobody was told to refetch: everybody went on from where it was.
        assert not any(viewer.resyncs for viewer in viewers)


async def test_a_leader_that_is_killed_is_replaced_and_nothing_is_lost(database: Database) -> None:
    async with relay_process(database.feed_dsn) as leader:
        await leader.says("leading")
        async with live(database.feed_dsn) as follower:
            assert not follower.pulse.leading

            async def trouble() -> None:
                leader.process.send_signal(signal.SIGKILL)
                assert await follower.pulse.until(lambda: follower.pulse.leading, PATIENCE)

            viewers = await under_load(database, [follower], trouble, seed=12)
            assert not any(viewer.resyncs for viewer in viewers)


async def test_a_leader_that_is_frozen_is_ended_and_follows_when_it_thaws(database: Database) -> None:
    quick = {"heartbeat_timeout": 0.5, "safety_interval": 0.1}
    async with relay_process(database.feed_dsn, **quick) as leader:
        await leader.says("leading")
        async with live(database.feed_dsn, **quick) as follower:

            async def trouble() -> None:
                leader.process.send_signal(signal.SIGSTOP)
                assert await follower.pulse.until(lambda: follower.pulse.leading, PATIENCE)

            try:
                viewers = await under_load(database, [follower], trouble, seed=13)
            finally:
                leader.process.send_signal(signal.SIGCONT)
            assert not any(viewer.resyncs for viewer in viewers)
            await leader.says("following")
            assert follower.pulse.leading


async def test_a_leader_that_only_has_nothing_to_do_is_not_taken_for_frozen(database: Database) -> None:
    # Its safety poll is the heartbeat, so it is made to come twice as often as it must.
    settings = {"heartbeat_timeout": 0.4, "safety_interval": 30}
    async with live(database.feed_dsn, **settings) as leader, live(database.feed_dsn, **settings) as follower:
        looks = follower.pulse.looks
        assert await follower.pulse.until(lambda: follower.pulse.looks >= looks + 4, PATIENCE)
        assert (leader.pulse.leading, leader.pulse.connections, follower.pulse.leading) == (True, 1, False)


async def test_followers_are_rung_by_the_leader(
    database: Database, app: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody else rings, and the followers' own polls are further apart than this test has patience.
    monkeypatch.setattr(relay_module, "FOLLOWER_CHECK", 10 * PATIENCE)
    async with (
        live(database.feed_dsn, doorbell=False) as leader,
        live(database.feed_dsn, safety_interval=60) as follower,
    ):
        assert (leader.pulse.leading, follower.pulse.leading) == (True, False)
        tasks = await Tasks.of(app, people(1)[0])
        async with tasks.subscribe(follower) as subscription:
            await told(subscription)
            task = await tasks.add()
            for _ in range(5):
                last = await tasks.move(task)
                await marks_until(subscription, last)


async def test_a_process_that_may_not_lead_follows_and_leads_nobody(
    database: Database, app: Connection, admin: Connection
) -> None:
    async with live(database.feed_dsn, relay=False, safety_interval=0.05) as running:
        tasks = await Tasks.of(app, people(1)[0])
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            await tasks.add()
            assert await marks_until(subscription, 1) == [1]
        assert not running.pulse.leading
        assert await admin.fetchrow(query("leader"), LOCK_CLASS, LEADER) is None


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
        assert everything.marks() >= set(range(1, 61))


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
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn) as running:
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


async def test_two_that_begin_at_once_begin_one_epoch(database: Database, admin: Connection) -> None:
    await admin.execute("truncate changefeed.epoch")
    async with AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(Feed(Settings(dsn=database.feed_dsn))) for _ in range(6)]
        for running in feeds:
            await until_live(running)
        await until_seen(feeds[0], admin)
        epochs = {running.hub.cursor.epoch for running in feeds if running.hub.cursor is not None}
        assert len(epochs) == 1
        assert sum(running.pulse.leading for running in feeds) == 1
        assert all(running.hub.resyncs == {} for running in feeds)
