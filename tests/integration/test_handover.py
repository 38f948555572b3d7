"""Rows whose owner is found through a parent: when it changes hands, what was being written meanwhile is shown to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from changefeed.event import Owner
from changefeed.feed import Feed
from changefeed.subscription import Subscription
from tests.integration.vocabulary import (
    Connection,
    Message,
    greeting,
    live,
    messages,
    people,
    told,
    until_seen,
)
from tests.support.database import Database
from tests.support.history import EXECUTIONS
from tests.support.proxy import Proxy

Kind = tuple[str, str | None]


@dataclass
class Estate:
    """A workflow with an execution, which passes from one user to another."""

    app: Connection
    workflow: UUID
    execution: UUID
    former: UUID
    heir: UUID

    async def write(self, progress: int, connection: Connection | None = None) -> None:
        """A change of the execution."""
        update = "update workflow_execution set progress = $2 where id = $1"
        assert await (connection or self.app).execute(update, self.execution, progress) == "UPDATE 1"

    async def pass_on(self) -> None:
        """The workflow changes hands; of its executions no row changes."""
        await self.app.execute("update workflow set owner_id = $2 where id = $1", self.workflow, self.heir)

    def subscribe(self, running: Feed, user: UUID, since: str | None = None) -> Subscription:
        """One user's subscription."""
        return running.subscribe([Owner("user", str(user))], since=since, greeting=greeting)


@pytest.fixture
async def estate(app: Connection) -> Estate:
    """One that has not changed hands yet."""
    former, heir = people(2)
    workflow = await app.fetchval("insert into workflow (owner_id, name) values ($1, 'w') returning id", former)
    execution = await app.fetchval("insert into workflow_execution (workflow_id) values ($1) returning id", workflow)
    return Estate(app, workflow, execution, former, heir)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Connection]:
    """A second session of the application."""
    connection = await asyncpg.connect(database.app_dsn)
    yield connection
    connection.terminate()


def kinds(said: list[Message]) -> list[Kind]:
    """What was said, without what is not about rows."""
    return [
        (message["type"], message["data"].get("source") and message["data"]["reason"])
        for message in said
        if message["type"] != "ready"
    ]


OWNER_CHANGED: Kind = ("rows-changed", "owner")


async def heard(subscription: Subscription, running: Feed, connection: Connection) -> list[Kind]:
    """Everything that is waiting when everything that has committed was published."""
    await until_seen(running, connection)
    items = await subscription.next(0)
    said: list[Message] = []
    while items:
        said += messages(items)
        items = await subscription.next(0)
    return kinds(said)


async def test_both_owners_are_told_to_refetch_and_nobody_else(
    database: Database, app: Connection, estate: Estate
) -> None:
    async with live(database.feed_dsn) as running, AsyncExitStack() as stack:
        await until_seen(running, app)
        users = [estate.former, estate.heir, people(1)[0]]
        subscriptions = [await stack.enter_async_context(estate.subscribe(running, user)) for user in users]
        for subscription in subscriptions:
            await told(subscription)
        await estate.pass_on()
        assert [await heard(subscription, running, app) for subscription in subscriptions] == [
            [OWNER_CHANGED],
            [OWNER_CHANGED],
            [],
        ]
        # What comes after it is the heir's alone.
        await estate.write(1)
        assert [await heard(subscription, running, app) for subscription in subscriptions] == [
            [],
            [("execution-updated", None)],
            [],
        ]


@pytest.mark.parametrize("strict", [False, True])
async def test_a_write_that_was_in_flight_is_shown_to_neither_and_both_refetch_again(
    database: Database, app: Connection, writer: Connection, estate: Estate, strict: bool
) -> None:
    async with live(database.feed_dsn) as running, AsyncExitStack() as stack:
        await until_seen(running, app)
        former = await stack.enter_async_context(estate.subscribe(running, estate.former))
        heir = await stack.enter_async_context(estate.subscribe(running, estate.heir))
        for subscription in (former, heir):
            await told(subscription)
        writing = writer.transaction(isolation="repeatable_read" if strict else None)
        await writing.start()
        if strict:
            # It looks at the world as it was, and writes when the change has long been delivered.
            await writer.execute("select count(*) from workflow")
        else:
            await estate.write(1, writer)
        await estate.pass_on()
        assert await heard(former, running, app) == [OWNER_CHANGED]
        assert await heard(heir, running, app) == [OWNER_CHANGED]
        if strict:
            await estate.write(1, writer)
        await writing.commit()
        assert await heard(former, running, app) == [OWNER_CHANGED]
        assert await heard(heir, running, app) == [OWNER_CHANGED]


@pytest.mark.parametrize("source", ["memory", "log"])
async def test_who_comes_back_is_not_shown_it_either(
    database: Database, app: Connection, writer: Connection, estate: Estate, source: str
) -> None:
    memory = {} if source == "memory" else {"window_events": 0}
    async with live(database.feed_dsn, **memory) as running:
        await until_seen(running, app)
        async with estate.subscribe(running, estate.former) as subscription:
            (ready,) = await told(subscription)
        writing = writer.transaction()
        await writing.start()
        await estate.write(1, writer)
        await estate.pass_on()
        await until_seen(running, app)
        async with estate.subscribe(running, estate.former, ready["cursor"]) as subscription:
            after = await told(subscription)
            assert kinds(after) == [OWNER_CHANGED]
        await writing.commit()
        await until_seen(running, app)
        for user in (estate.former, estate.heir):
            async with estate.subscribe(running, user, after[-1]["cursor"]) as subscription:
                said = await told(subscription)
                assert {*kinds(said)} <= {OWNER_CHANGED}, user
        async with estate.subscribe(running, estate.former, after[-1]["cursor"]) as subscription:
            assert kinds(await told(subscription)) == [OWNER_CHANGED]


async def test_who_has_heard_of_it_from_one_process_is_not_shown_the_write_by_another(
    database: Database, app: Connection, writer: Connection, estate: Estate
) -> None:
    async with (
        live(database.feed_dsn) as one,
        Proxy.to(database.feed_dsn) as network,
        live(network.dsn, doorbell=False) as other,
    ):
        for running in (one, other):
            await until_seen(running, app)
        writing = writer.transaction()
        await writing.start()
        await estate.write(1, writer)
        # The other one reads both at once, and the write was first.
        network.freeze()
        async with estate.subscribe(one, estate.former) as subscription:
            await told(subscription)
            await estate.pass_on()
            (change,) = await told(subscription)
        await writing.commit()
        network.thaw()
        await until_seen(other, app)
        async with estate.subscribe(other, estate.former, change["cursor"]) as subscription:
            assert {*kinds(await told(subscription))} == {OWNER_CHANGED}
        assert other.replays.from_memory == 1


async def test_a_process_that_begins_afterwards_knows_of_it(
    database: Database, app: Connection, writer: Connection, estate: Estate
) -> None:
    writing = writer.transaction()
    async with live(database.feed_dsn) as first:
        await writing.start()
        await estate.write(1, writer)
        await estate.pass_on()
        await until_seen(first, app)
    async with live(database.feed_dsn) as running, estate.subscribe(running, estate.former) as former:
        await told(former)
        await writing.commit()
        assert await heard(former, running, app) == [OWNER_CHANGED]


async def test_a_parent_that_goes_takes_its_children_from_their_owner(
    database: Database, app: Connection, estate: Estate
) -> None:
    async with live(database.feed_dsn) as running, estate.subscribe(running, estate.former) as former:
        await told(former)
        await until_seen(running, app)
        await former.next(0)
        await app.execute("delete from workflow where id = $1", estate.workflow)
        said = await heard(former, running, app)
        # In a cascade the parent is invisible when the child goes, so the child's own event is nobody's.
        assert OWNER_CHANGED in said
        assert {kind for kind, _ in said} <= {"rows-changed", "execution-deleted"}


async def test_an_owner_change_by_hand_is_one_too(
    database: Database, app: Connection, admin: Connection, estate: Estate
) -> None:
    async with live(database.feed_dsn) as running, AsyncExitStack() as stack:
        await until_seen(running, app)
        former = await stack.enter_async_context(estate.subscribe(running, estate.former))
        await told(former)
        await admin.execute(
            "insert into changefeed.event (source, op, owner, owner_kind, data)"
            " values ($1, 'bulk', $2, 'user', jsonb_build_object('reason', 'owner', 'other', $3::text))",
            EXECUTIONS,
            str(estate.former),
            str(estate.heir),
        )
        assert await heard(former, running, app) == [OWNER_CHANGED]
