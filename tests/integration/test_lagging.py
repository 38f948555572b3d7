"""A session that is behind: it drops its buffer, reads on from memory or the log at its own pace, and loses nothing."""

from __future__ import annotations

import asyncio

import pytest

from changefeed.relay import LOST
from changefeed.session import State
from changefeed.subscription import Change, Subscription
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Message,
    Tasks,
    follow,
    live,
    marks,
    marks_until,
    people,
    told,
    until_alone,
    until_live,
    until_seen,
    until_true,
)
from tests.support.database import Database
from tests.support.oracle import Viewer, verify
from tests.support.proxy import Proxy
from tests.support.writers import Writers


def state(subscription: Subscription) -> State:
    """Where its session is."""
    return subscription.session.state


MEMORY = {"memory": {}, "log": {"window_events": 0}}


@pytest.mark.parametrize("source", MEMORY)
async def test_a_buffer_that_overflows_costs_nothing_but_a_look_at_the_log(
    database: Database, app: Connection, feed: Connection, source: str
) -> None:
    async with live(database.feed_dsn, **MEMORY[source], buffer_messages=2, page_rows=4) as running:
        tasks = await Tasks.of(app, people(1)[0])
        task = await tasks.add()
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            for _ in range(3):
                moved = [await tasks.move(task) for _ in range(15)]
                await until_seen(running, feed)
                assert state(subscription) is State.LAGGING
                assert await marks_until(subscription, moved[-1]) == moved
                assert await subscription.next(0) == []
                assert state(subscription) is State.LIVE
            last = await tasks.move(task)
            assert await marks_until(subscription, last) == [last]
        assert running.hub.resyncs == {}
        taken = running.replays.from_memory if source == "memory" else running.replays.from_log
        assert taken >= 3


@pytest.mark.parametrize("source", MEMORY)
async def test_under_load_sessions_with_tiny_buffers_lose_nothing(database: Database, source: str) -> None:
    async with live(database.feed_dsn, **MEMORY[source], buffer_messages=3, page_rows=10) as running:
        async with Writers(database.app_dsn, people(3), seed=31) as writers:
            viewers = [Viewer(owner) for owner in writers.owners]
            async with asyncio.TaskGroup() as group:
                for viewer in viewers:
                    group.create_task(follow(running, viewer, database.feed_dsn))
                await writers.run(6, 60)
                await writers.finish()
        # A message may come twice where the buffer overflowed in the middle of a batch that was being sent.
        verify(writers.history, viewers, repeats=True)
        assert not any(viewer.resyncs for viewer in viewers)
        assert running.replays.from_memory + running.replays.from_log > 0


async def test_who_comes_in_the_middle_of_a_large_window_misses_none_of_it(database: Database, app: Connection) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, page_rows=5) as running:
        tasks = await Tasks.of(app, people(1)[0])
        network.refusing = True
        network.cut()
        assert await running.pulse.until(lambda: not running.pulse.connected, PATIENCE)
        for _ in range(40):
            await tasks.add()
        arrived = asyncio.Event()
        seen = 0

        class Door:
            """Opens when some pages have gone by."""

            def published(self, events: list[object], _cursor: object) -> None:
                nonlocal seen
                seen += len(events)
                if seen > 20:
                    arrived.set()

            def restarted(self, _cursor: object) -> None:
                """Does not happen."""

        running.hub.taps.add(Door())  # type: ignore[arg-type]
        network.refusing = False
        await arrived.wait()
        async with tasks.subscribe(running) as subscription:
            said: list[Message] = await told(subscription)
            # What commits after the place that comes with it is promised, and all forty did.
            assert said[0]["data"]["outcome"] == "fresh"
            while 40 not in marks(said):
                said += await told(subscription)
            assert marks(said) == list(range(1, 41))


async def test_newest_of_each_row_alone_where_that_was_asked_for(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        one, other = await tasks.add(), await tasks.add()
        await until_seen(running, feed)
        async with tasks.subscribe(running, mode="state") as subscription:
            await told(subscription)
            for task in [one, other] * 5:
                await tasks.move(task)
            await until_seen(running, feed)
            said = await told(subscription)
            assert (said[0]["type"], said[0]["data"]) == ("conflated", {"count": 8})
            assert marks(said) == [tasks.marks - 1, tasks.marks]
            assert "cursor" in said[-1]


async def test_a_session_in_state_mode_under_load_ends_with_what_is_true(database: Database) -> None:
    async with (
        live(database.feed_dsn, buffer_messages=20) as running,
        Writers(database.app_dsn, people(2), seed=32) as writers,
    ):
        viewers = [Viewer(owner) for owner in writers.owners]
        async with asyncio.TaskGroup() as group:
            for viewer in viewers:
                group.create_task(follow(running, viewer, database.feed_dsn, mode="state", min_interval=0.02))
            await writers.run(6, 60)
            await writers.finish()
        verify(writers.history, viewers, conflated=viewers, repeats=True)


async def test_between_two_deliveries_lies_the_interval_that_was_asked_for(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        task = await tasks.add()
        await until_seen(running, feed)
        async with tasks.subscribe(running, min_interval=10 * PATIENCE) as subscription:
            await told(subscription)
            last = await tasks.move(task)
            assert await marks_until(subscription, last) == [last]
            collecting = asyncio.create_task(told(subscription))
            for _ in range(5):
                last = await tasks.move(task)
                await until_seen(running, feed)
                assert not collecting.done()
            # Whoever asks is answered at once, whatever the interval.
            subscription.push("pong", '{"type":"pong"}')
            said = await collecting
            assert [message["type"] for message in said] == ["agent-task-update"] * 5 + ["pong"]
            assert marks(said) == list(range(last - 4, last + 1))


async def test_while_the_log_cannot_be_read_whoever_asks_is_answered_and_nothing_is_lost(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, window_events=0, buffer_messages=2) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            for _ in range(9):
                await tasks.add()
            await until_seen(running, feed)
            network.refusing = True
            network.cut()
            assert await subscription.next(0.01) == []
            subscription.push("pong", '{"type":"pong"}')
            assert [message["type"] for message in await told(subscription)] == ["pong"]
            asking = asyncio.create_task(told(subscription))
            read = running.replays.from_log
            await until_true(lambda: running.replays.from_log > read)
            subscription.push("pong", '{"type":"pong"}')
            assert [message["type"] for message in await asking] == ["pong"]
            network.refusing = False
            assert await marks_until(subscription, 9) == list(range(1, 10))


async def test_a_request_that_could_not_be_answered_is_answered_when_the_log_is_back(
    database: Database, app: Connection, feed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changefeed.subscription.CATCH_UP_SECONDS", 0.1)
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, window_events=0) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            (ready,) = await told(subscription)
        await tasks.add()
        await until_seen(running, feed)
        network.refusing = True
        network.cut()
        async with tasks.subscribe(running, since=ready["cursor"]) as subscription:
            with pytest.raises(LOST):
                await subscription.next(PATIENCE)
            network.refusing = False
            await until_live(running)
            said = await told(subscription)
            assert (said[0]["data"]["outcome"], marks(said)) == ("replayed", [1])


@pytest.mark.parametrize("replaying", [True, False])
async def test_who_is_cancelled_in_the_middle_of_a_page_reads_it_again(
    database: Database, app: Connection, feed: Connection, replaying: bool
) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn, window_events=0, page_rows=2) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            (ready,) = await told(subscription)
            for _ in range(5):
                await tasks.add()
            await until_seen(running, feed)
            if replaying:
                subscription.request(Change("subscribed", since=ready["cursor"]))
                await running.relay.look_anew(PATIENCE)
            else:
                subscription.session.lag(subscription.session.position)
            read = running.replays.from_log
            reading = asyncio.create_task(subscription.next(PATIENCE))
            await until_true(lambda: running.replays.from_log > read)
            network.freeze()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            network.thaw()
            assert await marks_until(subscription, 5) == [1, 2, 3, 4, 5]
    await until_alone()


async def test_a_restart_in_the_middle_of_a_replay_ends_it_with_a_resync(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn, page_rows=2) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            for _ in range(9):
                await tasks.add()
            await until_seen(running, feed)
            subscription.session.lag(subscription.session.position)
            assert marks(await told(subscription)) == [1, 2]
            await feed.execute("select changefeed.begin_epoch(true)")
            assert await running.pulse.until(lambda: running.pulse.connections == 2, PATIENCE)
            await until_live(running)
            (resync,) = await told(subscription)
            assert resync["data"]["reason"] == "epoch"
            await tasks.add()
            assert await marks_until(subscription, 10) == [10]
