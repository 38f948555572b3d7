"""What somebody wants or may see changes while messages wait for him: nothing is left out then, and nothing comes too late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from changefeed.event import Owner
from changefeed.subscription import Change, Subscription
from tests.integration.vocabulary import Connection, Message, Tasks, live, marks, people, told, until_seen
from tests.support.database import Database

TASKS, EXECUTIONS = frozenset({"agent-tasks"}), frozenset({"executions"})
LONG = 3600.0
"""Seconds between two deliveries: what comes waits."""
AT_ONCE = 0.0


@asynccontextmanager
async def waiting(
    database: Database, tasks: Tasks, others: Tasks | None = None, topics: frozenset[str] | None = None
) -> AsyncIterator[Subscription]:
    """A subscription of the tasks' owner for which task 2 waits, and then the end of an execution, of his or of another's."""
    async with live(database.feed_dsn) as running:
        await until_seen(running, tasks.app)
        async with tasks.subscribe(running, topics=topics, min_interval=LONG) as subscription:
            await told(subscription)
            await tasks.add()
            await until_seen(running, tasks.app)
            await told(subscription)
            await tasks.add()
            execution = (others or tasks).execution
            await tasks.app.execute("update workflow_execution set status = 'completed' where id = $1", execution)
            await until_seen(running, tasks.app)
            yield subscription


async def after(subscription: Subscription, topics: frozenset[str] | None = None) -> list[Message]:
    """What comes after the answer to this request, up to the end of the execution. Nothing waits any longer."""
    subscription.request(Change("subscribed", topics, min_interval=AT_ONCE))
    (answer, *said) = await told(subscription)
    assert answer["type"] == "subscribed"
    while "execution-completed" not in [message["type"] for message in said]:
        said += await told(subscription)
    return said


async def test_a_topic_that_is_added_misses_nothing_after_the_place_that_was_told(
    database: Database, app: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with waiting(database, tasks, topics=TASKS) as subscription:
        assert marks(await after(subscription, TASKS | EXECUTIONS)) == [2]


async def test_what_waits_of_a_topic_that_is_not_wanted_any_more_does_not_come(
    database: Database, app: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with waiting(database, tasks, topics=TASKS | EXECUTIONS) as subscription:
        assert marks(await after(subscription, EXECUTIONS)) == []


@pytest.mark.parametrize("kept", [True, False])
async def test_other_owners_get_what_is_theirs_from_the_place_that_was_told_and_nothing_else(
    database: Database, app: Connection, kept: bool
) -> None:
    mine, theirs = [await Tasks.of(app, person) for person in people(2)]
    async with waiting(database, mine, theirs) as subscription:
        owners = [theirs, mine] if kept else [theirs]
        subscription.become(frozenset(Owner("user", str(one.owner)) for one in owners), admin=False)
        assert marks(await after(subscription)) == ([2] if kept else [])
