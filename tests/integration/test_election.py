"""Of all relays one leads: election, takeover, the frozen and the killed."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack

import pytest

from changefeed import relay as relay_module
from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS
from changefeed.settings import Settings
from changefeed.sql import query
from tests.integration.relays import end_leaders, relay_process, somebody_leads
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Tasks,
    live,
    marks_until,
    people,
    told,
    under_load,
    until_live,
    until_seen,
)
from tests.support.database import Database


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
        viewers = await under_load(database, [one, other], lambda: end_leaders(one, other, admin), seed=11)
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
