"""What the pulse knows of the database beside events: what is watched, what is wrong with it, and that somebody was kicked."""

from __future__ import annotations

from changefeed import watch as watching
from changefeed.feed import Feed
from changefeed.watch import Watch
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Tasks,
    live,
    marks_until,
    people,
    told,
    until_live,
)
from tests.support.database import Database
from tests.support.history import EXECUTIONS, TASKS


def watched(running: Feed) -> dict[str, Watch]:
    """By name."""
    return {watch.source: watch for watch in running.pulse.watches}


async def test_the_pulse_follows_watch_and_unwatch(database: Database, feed: Connection) -> None:
    async with live(database.feed_dsn) as running:
        pulse = running.pulse
        assert set(watched(running)) >= {EXECUTIONS, TASKS}
        assert await watching.watch(feed, "connector", "id", owner_kind="connector") == "public.connector"
        assert await pulse.until(lambda: "public.connector" in watched(running), PATIENCE)
        assert watched(running)["public.connector"].owner_kind == "connector"
        assert "rows:public.connector" in running.visible(admin=False)
        assert await watching.unwatch(feed, "connector")
        assert await pulse.until(lambda: "public.connector" not in watched(running), PATIENCE)
        assert not await watching.unwatch(feed, "connector")
        for table in watched(running):
            await watching.unwatch(feed, table)
        assert await pulse.until(lambda: not pulse.live, PATIENCE)
        assert "no table is watched" in pulse.reasons[0]
        await watching.watch(feed, TASKS, "user_id")
        await until_live(running)


async def test_a_pause_is_known_and_no_problem_and_resuming_makes_everybody_refetch(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        pulse = running.pulse
        tasks = await Tasks.of(app, people(1)[0])
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            await feed.execute("select changefeed.pause('agent_task')")
            assert await pulse.until(lambda: watched(running)[TASKS].paused, PATIENCE)
            assert pulse.live
            task = await tasks.add()
            await feed.execute("select changefeed.resume('agent_task')")
            assert await pulse.until(lambda: not watched(running)[TASKS].paused, PATIENCE)
            last = await tasks.move(task)
            said = await told(subscription)
            while said[-1]["type"] != "agent-task-update":
                said += await told(subscription)
            # What was written meanwhile is not told; that something was, is.
            kinds = [(message["type"], message["data"].get("source")) for message in said]
            assert ("rows-changed", TASKS) in kinds
            assert said[-1]["data"]["progress"] == last


async def test_a_disabled_trigger_is_named_with_what_to_do_and_that_heals_it(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        await app.execute('alter table agent_task disable trigger "!changefeed_update"')
        # Whoever does this tells nobody.
        await running.relay.recheck(PATIENCE)
        assert running.pulse.reasons == [f"{TASKS}: its triggers are disabled; call changefeed.resume('{TASKS}')"]
        assert not running.pulse.live
        await feed.execute("select changefeed.resume('agent_task')")
        await until_live(running)


async def test_a_dropped_trigger_is_named_with_what_to_do_and_that_heals_it(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        await app.execute('drop trigger "!changefeed_delete" on agent_task')
        await running.relay.recheck(PATIENCE)
        assert running.pulse.reasons == [f"{TASKS}: 1 of its triggers are gone; watch the table again"]
        await watching.watch(feed, TASKS, "user_id")
        await until_live(running)


async def test_a_silent_trigger_on_a_table_that_decides_about_owners_is_named(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        triggers = await feed.fetch(
            "select tgname::text from pg_trigger where tgrelid = 'workflow'::regclass and tgname ~ '^!'"
        )
        assert len(triggers) == 3
        await app.execute(f'alter table workflow disable trigger "{triggers[0]["tgname"]}"')
        await app.execute(f'drop trigger "{triggers[1]["tgname"]}" on workflow')
        await running.relay.recheck(PATIENCE)
        (reason,) = running.pulse.reasons
        assert reason.startswith(f"{EXECUTIONS}: 2 triggers on the tables that its owner expression reads")
        owner = "(select w.owner_id from workflow w where w.id = r.workflow_id)"
        await watching.watch(feed, EXECUTIONS, owner)
        await until_live(running)


async def test_a_watched_table_that_is_dropped_stops_nobody(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await app.execute("create table note (id int primary key, who uuid)")
        await watching.watch(feed, "note", "who")
        assert await running.pulse.until(lambda: "public.note" in watched(running), PATIENCE)
        await app.execute("drop table note")
        await running.relay.recheck(PATIENCE)
        assert watched(running)["public.note"].dropped
        assert running.pulse.live
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            await tasks.add()
            await marks_until(subscription, 1)


async def test_a_recheck_during_a_look_is_served_by_the_next_one(database: Database, app: Connection) -> None:
    async with live(database.feed_dsn) as running:
        looks = running.pulse.looks
        first = running.relay.recheck(PATIENCE)
        await app.execute("alter table agent_task disable trigger user")
        await first
        await running.relay.recheck(PATIENCE)
        assert running.pulse.looks > looks
        assert not running.pulse.live


async def test_every_process_hears_of_a_kick(database: Database, feed: Connection) -> None:
    async with live(database.feed_dsn) as one, live(database.feed_dsn, relay=False) as other:
        before = one.pulse.kicks
        assert other.pulse.kicks == before
        for number in range(1, 3):
            await feed.execute("select changefeed.kick('somebody')")
            for running in (one, other):
                assert await running.pulse.until(lambda pulse=running.pulse: pulse.kicks == before + number, PATIENCE)  # type: ignore[misc] # noqa: B023
