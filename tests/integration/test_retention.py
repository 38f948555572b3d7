"""Retention: what is gone is said to be gone.

Time is not waited for: rows are moved to a leaf whose slot is over, and seals are made to look old.
"""

from __future__ import annotations

from changefeed.feed import Feed
from changefeed.settings import Settings
from tests.integration.resuming import said_at_once, until_nobody_leads
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
            ready, resync = await said_at_once(subscription)
            assert (ready["data"]["outcome"], resync["data"]["reason"]) == ("resync", "retention")
            # From here on it is whole again.
            task = await tasks.add()
            await marks_until(subscription, 2)
            assert await marks_until(subscription, await tasks.move(task)) == [3]
        async with tasks.subscribe(running, since=ready["cursor"]) as subscription:
            said = await said_at_once(subscription)
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
            said = await said_at_once(subscription)
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
            assert said[-1]["data"]["reason"] == "lagging"


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
