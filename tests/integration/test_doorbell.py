"""The doorbell on a real server: who rings, who need not, and that nothing is lost over either."""

import asyncio
import random
from uuid import UUID

import asyncpg
import pytest

from changefeed.feed import Feed
from changefeed.listener import ASLEEP, CHANNEL, LOCK_CLASS
from changefeed.settings import Settings
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Everything,
    Tasks,
    follow,
    live,
    marks_until,
    people,
    told,
    until_asleep,
    until_live,
    until_seen,
)
from tests.support.database import Database
from tests.support.oracle import Viewer, verify
from tests.support.writers import ONE_UPDATE, Habits, Writers

CYCLES = 1000
"""On each server."""


@pytest.mark.needs("doorbell")
async def test_nothing_is_lost_over_thousands_of_sleeps_and_wakings(database: Database) -> None:
    # No poll for a minute: whoever is not rung for is not seen until then.
    async with live(database.feed_dsn, poll_interval=0.001, safety_interval=60, heartbeat_timeout=600) as running:
        pulse = running.pulse

        async def pause(chance: random.Random) -> None:
            # Until the relay sleeps, or some looks later: so writers come at every moment of its vigil.
            looks = pulse.looks + chance.randint(0, 8)
            assert await pulse.until(lambda: (pulse.asleep and pulse.resting) or pulse.looks >= looks, PATIENCE)

        everything = Everything(running)
        habits = Habits(statements=2, hold=0.02)
        async with Writers(database.app_dsn, people(2), seed=1, habits=habits, pause=pause) as writers:
            viewers = [Viewer(owner) for owner in writers.owners]
            async with asyncio.TaskGroup() as group:
                for viewer in viewers:
                    group.create_task(follow(running, viewer, database.feed_dsn))
                while pulse.slept < CYCLES:
                    await writers.run(3, 40)
                    # Nobody writes now, so nobody rings any more: what has committed is seen, or it is lost.
                    marks = writers.history.marks()
                    assert await pulse.until(lambda: everything.marks >= marks, PATIENCE)  # noqa: B023
                await writers.finish()
    assert writers.history.transactions > CYCLES
    assert everything.repeats == 0
    assert writers.history.marks() - everything.marks == set()
    assert not any(viewer.resyncs for viewer in viewers)
    verify(writers.history, viewers)


async def test_under_steady_load_less_than_one_transaction_in_a_hundred_rings(database: Database) -> None:
    async with live(database.feed_dsn) as running:
        pulse = running.pulse
        async with Writers(database.app_dsn, people(16), seed=2, habits=ONE_UPDATE) as writers:
            load = asyncio.create_task(writers.run(16, 400))
            assert await pulse.until(lambda: not pulse.asleep and pulse.found > 500, PATIENCE)
            heard, before = pulse.heard, writers.history.transactions
            # Counted while all of them write: when they end one after the other it is no steady load any more.
            assert await pulse.until(lambda: writers.history.transactions >= before + 4000, PATIENCE)
            rung, done = pulse.heard - heard, writers.history.transactions - before
            await load
    assert rung < done / 100


async def test_while_the_relay_sleeps_each_transaction_rings_once(database: Database, app: Connection) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        task = await tasks.add()
        # Whatever that rang has been heard once a look that began afterwards has ended.
        assert await running.relay.look_anew(PATIENCE)
        await until_asleep(running)
        heard = running.pulse.heard
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            for _ in range(10):
                async with app.transaction():
                    await tasks.move(task)
                    last = await tasks.move(task)
                await marks_until(subscription, last)
                await until_asleep(running)
        assert running.pulse.heard - heard == 10


@pytest.mark.needs("doorbell")
async def test_a_writer_that_believed_the_relay_awake_keeps_it_so_until_the_end(
    database: Database, app: Connection, admin: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        pulse = running.pulse
        tasks = await Tasks.of(app, people(1)[0])
        task, other = await tasks.add(), await tasks.add()
        writer = await asyncpg.connect(database.app_dsn)
        try:
            await keep_awake(running, admin, tasks, task)
            transaction = writer.transaction()
            await transaction.start()
            held = await tasks.move(task, writer)
            await admin.execute("select pg_advisory_unlock_shared($1, $2)", LOCK_CLASS, ASLEEP)
            async with tasks.subscribe(running) as subscription:
                await told(subscription)
                heard, slept, looks = pulse.heard, pulse.slept, pulse.looks
                # Somebody else's change arrives, though nobody rings and one transaction stays open.
                last = await tasks.move(other)
                assert await marks_until(subscription, last) == [last]
                assert await pulse.until(lambda: pulse.looks > looks + 5 and pulse.resting, PATIENCE)
                assert (pulse.asleep, pulse.slept, pulse.heard) == (False, slept, heard)
                await transaction.commit()
                assert await marks_until(subscription, held) == [held]
                assert pulse.heard == heard
            await until_asleep(running)
        finally:
            writer.terminate()


async def test_without_a_doorbell_nobody_rings_and_everything_arrives(
    database: Database, feed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANGEFEED_DOORBELL", "false")
    rings: list[str] = []
    over = asyncio.Event()

    def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        rings.append(str(payload))
        if payload == "over":
            over.set()

    await feed.add_listener(CHANNEL, heard)
    async with Feed(Settings(dsn=database.feed_dsn)) as running:
        await until_live(running)
        async with Writers(database.app_dsn, people(3), seed=3) as writers:
            viewers = [Viewer(owner) for owner in writers.owners]
            async with asyncio.TaskGroup() as group:
                for viewer in viewers:
                    group.create_task(follow(running, viewer, database.feed_dsn))
                await writers.run(4, 50)
                await writers.finish()
        assert running.pulse.slept == 0
    # Notifications come in the order of the commits, so whoever had rung would have been heard before this.
    await feed.execute("select pg_notify($1, 'over')", CHANNEL)
    await asyncio.wait_for(over.wait(), PATIENCE)
    assert set(rings) - {""} == {"over"}, "the relay rings with an empty payload, writers with their table's name"
    verify(writers.history, viewers)


async def test_where_transactions_may_be_prepared_nobody_rings_and_preparing_works(
    preparing_database: Database,
) -> None:
    app = await asyncpg.connect(preparing_database.app_dsn)
    try:
        async with live(preparing_database.feed_dsn) as running:
            tasks = await Tasks.of(app, people(1)[0])
            task = await tasks.add()
            async with tasks.subscribe(running) as subscription:
                await told(subscription)
                await app.execute("begin")
                held = await tasks.move(task)
                await app.execute("prepare transaction 'held'")
                other = await tasks.add()
                await marks_until(subscription, last := await tasks.move(other))
                assert last > held
                await app.execute("commit prepared 'held'")
                assert await marks_until(subscription, held) == [held]
            assert running.pulse.slept == 0
    finally:
        app.terminate()


async def test_a_writer_that_rolls_back_its_savepoint_rings_for_what_comes_after(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn, safety_interval=60, heartbeat_timeout=600) as running:
        tasks = await Tasks.of(app, people(1)[0])
        task = await tasks.add()
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            await until_asleep(running)
            async with app.transaction():
                undone = app.transaction()
                await undone.start()
                await tasks.move(task)
                await undone.rollback()
                last = await tasks.move(task)
            # No poll for a minute: only the bell can bring it.
            assert await marks_until(subscription, last) == [last]


async def keep_awake(running: Feed, admin: Connection, tasks: Tasks, task: UUID) -> None:
    """Take the lock "asleep" as a writer would who never ends. Returns when the relay has had to wake."""
    waiting = asyncio.create_task(admin.execute("select pg_advisory_lock_shared($1, $2)", LOCK_CLASS, ASLEEP))
    while not waiting.done():
        # Two changes close together are what wakes it.
        await tasks.move(task)
        await tasks.move(task)
        await running.relay.look_anew(PATIENCE)
    await waiting
