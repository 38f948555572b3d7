"""What somebody wants or may see changes while messages wait for him: nothing is left out then, and nothing comes too late."""

from __future__ import annotations

import pytest

from changefeed.event import Owner
from changefeed.subscription import Change, Subscription
from tests.integration.vocabulary import Connection, Message, Tasks, live, marks, people, told, until_seen
from tests.support.database import Database

TASKS, EXECUTIONS = frozenset({"agent-tasks"}), frozenset({"executions"})
LONG = 3600.0
"""Seconds between two deliveries: what comes waits."""


async def after(subscription: Subscription, change: Change, last: str) -> list[Message]:
    """What comes after the answer to this request, up to a message of the type `last`. Nothing waits any longer."""
    subscription.request(change)
    (answer, *said) = await told(subscription)
    assert answer["type"] == "subscribed"
    while last not in [message["type"] for message in said]:
        said += await told(subscription)
    return said


async def finish(tasks: Tasks) -> None:
    """The execution's last change."""
    await tasks.app.execute("update workflow_execution set status = 'completed' where id = $1", tasks.execution)


async def test_a_topic_that_is_added_while_others_wait_misses_nothing_after_the_place_that_was_told(
    database: Database, app: Connection, feed: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running:
        await until_seen(running, feed)
        async with tasks.subscribe(running, topics=TASKS, min_interval=LONG) as subscription:
            await told(subscription)
            await tasks.add()
            await until_seen(running, feed)
            await told(subscription)
            await tasks.add()
            await finish(tasks)
            await until_seen(running, feed)
            change = Change("subscribed", TASKS | EXECUTIONS, min_interval=0.0)
            said = await after(subscription, change, "execution-completed")
            assert marks(said) == [2]


async def test_what_waits_of_a_topic_that_is_not_wanted_any_more_does_not_come(
    database: Database, app: Connection, feed: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running:
        await until_seen(running, feed)
        async with tasks.subscribe(running, topics=TASKS | EXECUTIONS, min_interval=LONG) as subscription:
            await told(subscription)
            await tasks.add()
            await until_seen(running, feed)
            await told(subscription)
            await tasks.add()
            await finish(tasks)
            await until_seen(running, feed)
            said = await after(subscription, Change("subscribed", EXECUTIONS, min_interval=0.0), "execution-completed")
            assert marks(said) == []


@pytest.mark.parametrize("kept", [True, False])
async def test_other_owners_get_what_is_theirs_from_the_place_that_was_told_and_nothing_else(
    database: Database, app: Connection, feed: Connection, kept: bool
) -> None:
    mine, theirs = [await Tasks.of(app, person) for person in people(2)]
    async with live(database.feed_dsn) as running:
        await until_seen(running, feed)
        async with mine.subscribe(running, min_interval=LONG) as subscription:
            await told(subscription)
            await mine.add()
            await until_seen(running, feed)
            await told(subscription)
            await mine.add()
            await finish(theirs)
            await until_seen(running, feed)
            owners = {Owner("user", str(theirs.owner))} | ({Owner("user", str(mine.owner))} if kept else set())
            subscription.become(frozenset(owners), admin=False)
            said = await after(subscription, Change("subscribed", min_interval=0.0), "execution-completed")
            assert marks(said) == ([2] if kept else [])
