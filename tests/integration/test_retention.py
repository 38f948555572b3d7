"""Retention and absence: what is gone is said to be gone, and whoever was away too long begins anew.

Time is not waited for: rows are moved to a leaf whose slot is over, and seals are made to look old.
"""

from __future__ import annotations

import asyncpg
import pytest

from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS
from changefeed.settings import Settings
from changefeed.subscription import Subscription
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Message,
    Tasks,
    live,
    marks,
    marks_until,
    people,
    told,
    until_asleep,
    until_live,
    until_seen,
)
from tests.support.database import Database
from tests.support.proxy import Proxy


async def expire(admin: Connection, running: Feed | None = None) -> None:
    """Let everything that is in the log be older than retention, and be emptied.

    `running` looks at the log in between, as every relay does some thousand times between a seal and its end.
    """
    await admin.execute("update changefeed.event set slot = (changefeed.slot() + 4) % 8")
    await admin.fetchval("select changefeed.rotate()")
    if running is not None:
        assert await running.relay.look_anew(PATIENCE)
    await admin.execute(
        "update changefeed.leaf set sealed_at = sealed_at - interval '2 days' where sealed_at is not null"
    )
    # A leaf that somebody is reading at the moment is left for the next call.
    while not await admin.fetchval("select changefeed.rotate()"):
        pass
    assert await admin.fetchval("select count(*) from changefeed.event") == 0


async def answered(subscription: Subscription) -> list[Message]:
    """The answer to a place, and what comes with it, up to a resync where it is one."""
    said = await told(subscription)
    if said[0]["data"]["outcome"] == "resync":
        while said[-1]["type"] != "resync":
            said += await told(subscription)
    return said


async def test_a_place_older_than_the_log_is_answered_with_a_resync(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn, window_events=0) as running:
        async with tasks.subscribe(running) as subscription:
            (old,) = await told(subscription)
        await tasks.add()
        await expire(admin, running)
        async with tasks.subscribe(running, since=old["cursor"]) as subscription:
            ready, resync = await answered(subscription)
            assert (ready["data"]["outcome"], resync["data"]["reason"]) == ("resync", "retention")
            # From here on it is whole again.
            task = await tasks.add()
            await marks_until(subscription, 2)
            assert await marks_until(subscription, await tasks.move(task)) == [3]
        async with tasks.subscribe(running, since=ready["cursor"]) as subscription:
            said = await answered(subscription)
            assert (said[0]["data"]["outcome"], marks(said)) == ("replayed", [2, 3])
        assert running.hub.resyncs == {"retention": 1}


async def test_what_is_still_in_memory_is_replayed_though_the_log_is_empty(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running:
        async with tasks.subscribe(running) as subscription:
            (old,) = await told(subscription)
        await tasks.add()
        await expire(admin, running)
        async with tasks.subscribe(running, since=old["cursor"]) as subscription:
            said = await answered(subscription)
            assert (said[0]["data"]["outcome"], marks(said)) == ("replayed", [1])


async def test_a_relay_that_was_away_longer_than_retention_makes_its_sessions_refetch(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with (
        Proxy.to(database.feed_dsn) as network,
        live(network.dsn) as running,
        tasks.subscribe(running) as subscription,
    ):
        (ready,) = await told(subscription)
        network.refusing = True
        network.cut()
        assert await running.pulse.until(lambda: not running.pulse.connected, PATIENCE)
        task = await tasks.add()
        await expire(admin)
        network.refusing = False
        await until_live(running)
        (resync,) = await told(subscription)
        assert (resync["type"], resync["data"]["reason"]) == ("resync", "retention")
        # The same epoch: only what was emptied is lost.
        assert resync["cursor"].partition(".")[0] == ready["cursor"].partition(".")[0]
        assert await marks_until(subscription, await tasks.move(task)) == [2]


async def test_a_floor_that_rises_between_two_pages_makes_the_session_refetch(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn, window_events=0, page_rows=2) as running:
        async with tasks.subscribe(running) as subscription:
            (ready,) = await told(subscription)
        for _ in range(7):
            await tasks.add()
        await until_seen(running, admin)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            place = subscription.place()
            subscription.session.lag(type(place).parse(ready["cursor"]))
            assert marks(await told(subscription)) == [1, 2]
            await expire(admin, running)
            said: list[Message] = []
            while not said or said[-1]["type"] != "resync":
                said += await told(subscription)
            assert said[-1]["data"]["reason"] == "retention"


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
            answer, resync = await answered(subscription)
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


async def test_the_leader_rotates_and_extends_the_lease_by_itself(
    database: Database, app: Connection, admin: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    await tasks.add()
    await admin.execute("update changefeed.event set slot = (changefeed.slot() + 4) % 8")
    await admin.execute("update changefeed.state set until = now() + interval '1 second'")
    # The first chores come with the term. They seal, and, with a seal that looks old, they empty.
    for emptied in (0, 1):
        async with live(database.feed_dsn) as running:
            assert await running.relay.look_anew(PATIENCE)
        await until_nobody_leads(admin)
        count = await admin.fetchval("select count(*) from changefeed.event")
        assert (count == 0) == bool(emptied)
        await admin.execute("update changefeed.leaf set sealed_at = sealed_at - interval '2 days'")
    assert await admin.fetchval("select until > now() + interval '23 hours' from changefeed.state")


async def test_a_leader_tells_the_database_its_settings(database: Database, admin: Connection) -> None:
    async with Feed(
        Settings(dsn=database.feed_dsn, retention="2:00:00", max_absence="3:00:00", doorbell=False)
    ) as running:
        await until_live(running)
        row = await admin.fetchrow("select retention, max_absence, doorbell from changefeed.state")
        assert row is not None
        assert (str(row["retention"]), str(row["max_absence"]), row["doorbell"]) == ("2:00:00", "3:00:00", False)


async def until_nobody_leads(admin: Connection) -> None:
    """Waits until the server has noticed that the leader is gone."""
    await admin.execute("select pg_advisory_lock($1, $2)", LOCK_CLASS, LEADER, timeout=PATIENCE)
    await admin.execute("select pg_advisory_unlock($1, $2)", LOCK_CLASS, LEADER)
