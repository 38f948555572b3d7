"""Absence: where nobody has led for too long capture stops, and whoever was away begins anew, for everybody.

Time is not waited for: the lease is made to have run out. What was not captured is never told, so everybody refetches, once when
capture goes on, and once more for each transaction that was in flight then.
"""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.resuming import said_at_once, until_nobody_leads
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Tasks,
    live,
    marks_until,
    people,
    told,
    until_asleep,
    until_live,
)
from tests.support.database import Database


async def test_a_relay_that_returns_after_capture_had_stopped_begins_a_new_epoch(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running, tasks.subscribe(running) as subscription:
        (ready,) = await told(subscription)
    await until_nobody_leads(admin)
    await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
    await tasks.add()
    assert (
        await admin.fetchval("select count(*) from changefeed.event where op = 'insert' and source like '%task'") == 0
    )
    async with live(database.feed_dsn) as running:
        await until_live(running)
        async with tasks.subscribe(running, since=ready["cursor"]) as subscription:
            answer, resync = await said_at_once(subscription)
            assert (answer["data"]["outcome"], resync["data"]["reason"]) == ("resync", "epoch")
            await tasks.add()
            assert await marks_until(subscription, 2) == [2]


async def test_whoever_was_writing_while_capture_had_stopped_makes_everybody_refetch_when_he_ends(
    database: Database, app: Connection, admin: Connection
) -> None:
    """Each of them, and not when the last has ended: that one may take hours."""
    tasks = await Tasks.of(app, people(1)[0])
    long = await asyncpg.connect(database.app_dsn)
    await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
    for connection in (app, long):
        await connection.execute("begin")
        await tasks.add(connection)
    async with live(database.feed_dsn) as running, tasks.subscribe(running) as subscription:
        await told(subscription)
        # The first chores find both still at it.
        assert await running.relay.look_anew(PATIENCE)
        assert running.pulse.connections == 1
        for connection in (app, long):
            await connection.execute("commit")
            (resync,) = await told(subscription)
            assert resync["data"]["reason"] == "epoch"
            await until_live(running)
        await tasks.add()
        assert await marks_until(subscription, 3) == [3]
    await long.close()


async def test_where_capture_has_stopped_a_follower_says_so_and_a_leader_heals_it(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with (
        live(database.feed_dsn, relay=False, safety_interval=0.05) as follower,
        tasks.subscribe(follower) as subscription,
    ):
        await told(subscription)
        await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
        assert await follower.pulse.until(lambda: not follower.pulse.live, PATIENCE)
        assert "capture has stopped" in follower.pulse.reasons[0]
        await tasks.add()
        async with live(database.feed_dsn) as leader:
            await until_live(leader)
            epoch = leader.pulse.epoch_id
            assert await follower.pulse.until(
                lambda: follower.pulse.epoch_id == epoch and follower.pulse.live, PATIENCE
            )
            said = await told(subscription)
            assert {(message["type"], message["data"]["reason"]) for message in said} == {("resync", "epoch")}
            await tasks.add()
            assert await marks_until(subscription, 2) == [2]


async def test_a_leader_that_sees_the_lease_run_out_lets_capture_go_on_at_once(
    database: Database, app: Connection, admin: Connection
) -> None:
    """As where the database's clock jumps ahead: its chores would be due in minutes."""
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn, safety_interval=0.05) as running, tasks.subscribe(running) as subscription:
        await told(subscription)
        await until_asleep(running)
        await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
        assert await running.pulse.until(lambda: running.pulse.connections == 2 and running.pulse.live, PATIENCE)
        said = await told(subscription)
        assert {(message["type"], message["data"]["reason"]) for message in said} == {("resync", "epoch")}
        await tasks.add()
        assert await marks_until(subscription, 1) == [1]


async def test_whoever_still_sees_the_lease_as_it_had_run_out_makes_everybody_refetch(
    database: Database, app: Connection, admin: Connection
) -> None:
    """REPEATABLE READ: it began while capture had stopped, and writes when that is long over."""
    tasks = await Tasks.of(app, people(1)[0])
    late = await asyncpg.connect(database.app_dsn)
    # Nobody looks but when he is told to.
    async with live(database.feed_dsn, safety_interval=30) as running, tasks.subscribe(running) as subscription:
        await told(subscription)
        await until_asleep(running)
        await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
        transaction = late.transaction(isolation="repeatable_read")
        await transaction.start()
        await late.execute("select from workflow")
        running.relay.look()
        assert await running.pulse.until(lambda: running.pulse.connections == 2 and running.pulse.live, PATIENCE)
        assert {message["type"] for message in await told(subscription)} == {"resync"}
        assert await admin.fetchval("select s.lapsed from changefeed.state s") == [], "all that is known of has ended"
        await tasks.add(late)
        await transaction.commit()
        running.relay.look()
        (resync, *_) = await told(subscription)
        assert (resync["type"], resync["data"]["reason"]) == ("resync", "epoch")
    await late.close()


async def test_a_refetch_for_what_was_not_captured_overtakes_what_was_captured_after_it(
    database: Database, app: Connection, admin: Connection
) -> None:
    """Otherwise somebody would hear of a row's later change, and not of its earlier one."""
    tasks = await Tasks.of(app, people(1)[0])
    long = await asyncpg.connect(database.app_dsn)
    # Nobody looks but when he is told to.
    async with live(database.feed_dsn, safety_interval=30) as running, tasks.subscribe(running) as subscription:
        await told(subscription)
        await until_asleep(running)
        # The clock goes ahead and back while nobody looks. One has ended by then, one goes on.
        await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
        await long.execute("begin")
        await tasks.add(long)
        await tasks.add()
        await admin.execute("update changefeed.state set until = now() + interval '1 hour'")
        for epochs, connection in ((2, app), (3, long)):
            if connection is long:
                await until_asleep(running)
                await long.execute("commit")
            await tasks.add()
            assert {message["type"] for message in await told(subscription)} == {"resync"}
            assert await running.pulse.until(lambda: running.pulse.connections == epochs, PATIENCE)  # noqa: B023
        await tasks.add()
        assert await marks_until(subscription, 5) == [5]
    await long.close()


@pytest.mark.parametrize("patience", [0.0, 60.0])
async def test_without_a_leader_who_could_tell_everybody_to_refetch_events_do_not_wait_for_ever(
    database: Database, app: Connection, admin: Connection, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr("changefeed.delivery.WITHHELD_SECONDS", patience)
    tasks = await Tasks.of(app, people(1)[0])
    async with (
        live(database.feed_dsn, relay=False, safety_interval=30) as follower,
        tasks.subscribe(follower) as subscription,
    ):
        await told(subscription)
        await admin.execute("update changefeed.state set until = now() - interval '1 minute'")
        await tasks.add()
        await admin.execute("update changefeed.state set until = now() + interval '1 hour'")
        await tasks.add()
        assert await follower.relay.look_anew(PATIENCE)
        if not patience:
            assert await marks_until(subscription, 2) == [2]
            return
        async with live(database.feed_dsn) as leader:
            await until_live(leader)
            assert await follower.pulse.until(lambda: follower.pulse.epoch_id == leader.pulse.epoch_id, PATIENCE)
            assert {message["type"] for message in await told(subscription)} == {"resync"}
