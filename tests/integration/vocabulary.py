"""Words that the tests of this folder share: a feed that is live, rows to write to, and viewers in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from changefeed.cursor import Snapshot
from changefeed.event import Event, Owner
from changefeed.feed import Feed
from changefeed.session import Item, Session
from changefeed.settings import Settings
from changefeed.subscription import Subscription
from tests.support.database import Database
from tests.support.oracle import Viewer, verify
from tests.support.requirements import require
from tests.support.writers import Writers, fetch

PATIENCE = 30.0
"""Seconds after which a state is no longer waited for: the test has failed."""

Connection: TypeAlias = "asyncpg.Connection[Any]"
Message = dict[str, Any]


@asynccontextmanager
async def live(dsn: str, **settings: Any) -> AsyncIterator[Feed]:
    """A feed that is live."""
    async with Feed(Settings(dsn=dsn, **settings)) as feed:
        await until_live(feed)
        yield feed


async def until_live(feed: Feed) -> None:
    """Waits until capture and LISTEN are confirmed."""
    assert await feed.pulse.until(lambda: feed.pulse.live, PATIENCE), feed.pulse.reasons


async def until_asleep(feed: Feed) -> None:
    """Waits until the relay has nothing to do, and writers ring. Skips the test where they never do."""
    require("doorbell")
    pulse = feed.pulse
    assert await pulse.until(lambda: pulse.asleep and pulse.resting, PATIENCE)


async def until_seen(feed: Feed, connection: Connection) -> None:
    """Waits until everything that has committed by now has been published."""
    present = await snapshot(connection)
    hub = feed.hub
    assert await feed.pulse.until(lambda: hub.cursor is not None and hub.cursor.snapshot.covers(present), PATIENCE)


async def until_true(reached: Callable[[], bool]) -> None:
    """Waits for what nobody signals, but another task brings about in a turn of the loop or two."""
    async with asyncio.timeout(PATIENCE):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def until_alone() -> None:
    """Waits until no other task is left: the driver goes on trying to have a statement cancelled until its network ends."""
    await until_true(lambda: len(asyncio.all_tasks()) == 1)


async def snapshot(connection: Connection) -> Snapshot:
    """What can be seen now."""
    return Snapshot.parse(await connection.fetchval("select pg_current_snapshot()::text"))


@dataclass
class Tasks:
    """A user with an execution, whose tasks a test writes to by hand, each change with a mark of its own."""

    app: Connection
    owner: UUID
    execution: UUID
    marks: int = 0

    @classmethod
    async def of(cls, app: Connection, owner: UUID) -> Tasks:
        """Makes the workflow and the execution."""
        workflow = await app.fetchval("insert into workflow (owner_id, name) values ($1, 'mine') returning id", owner)
        execution = await app.fetchval(
            "insert into workflow_execution (workflow_id) values ($1) returning id", workflow
        )
        return cls(app, owner, execution)

    async def add(self, app: Connection | None = None, *, text: str | None = None) -> UUID:
        """A new task. `text`: what went wrong with it."""
        self.marks += 1
        task: UUID = await (app or self.app).fetchval(
            "insert into agent_task (execution_id, user_id, progress, error_message) values ($1, $2, $3, $4) returning id",
            self.execution,
            self.owner,
            self.marks,
            text,
        )
        return task

    async def move(self, task: UUID, app: Connection | None = None) -> int:
        """A change of it. Returns the mark."""
        self.marks += 1
        done = await (app or self.app).execute("update agent_task set progress = $2 where id = $1", task, self.marks)
        assert done == "UPDATE 1"
        return self.marks

    def subscribe(self, feed: Feed, **options: Any) -> Subscription:
        """The user's subscription."""
        return feed.subscribe([Owner("user", str(self.owner))], greeting=greeting, **options)


def greeting(answer: str, outcome: str, _session: Session) -> str:
    """The first message, as much of it as a viewer wants to know."""
    return json.dumps({"type": answer, "data": {"outcome": outcome}})


def messages(items: Sequence[Item] | None) -> list[Message]:
    """As a client reads them."""
    return [json.loads(item.whole()) for item in items or ()]


async def told(subscription: Subscription) -> list[Message]:
    """The next messages, whatever they are."""
    items = await subscription.next(PATIENCE)
    assert items, "nothing came"
    return messages(items)


async def marks_until(subscription: Subscription, last: int) -> list[int | None]:
    """The marks that come, up to this one."""
    seen: list[int | None] = []
    while last not in seen:
        seen += marks(await told(subscription))
    return seen


def marks(said: Sequence[Message]) -> list[int | None]:
    """The marks in these messages."""
    return [message["data"]["progress"] for message in said if message["type"] == "agent-task-update"]


async def follow(feed: Feed, viewer: Viewer, dsn: str, **options: Any) -> None:
    """A client in this process: until its last change has come, or the feed ends. `dsn`: where it fetches."""
    owner = Owner("user", viewer.owner)
    async with feed.subscribe([owner], since=viewer.cursor, greeting=greeting, **options) as subscription:
        while not viewer.done.is_set():
            items = await subscription.next(PATIENCE)
            if items is None:
                return
            assert items, f"{viewer.owner} waits for nothing"
            for message in messages(items):
                wanted = viewer.saw(message)
                if wanted is not None:
                    viewer.fetched(await fetch(dsn, viewer.owner), None if wanted == "all" else wanted)


async def under_load(
    database: Database, feeds: list[Feed], trouble: Callable[[], Awaitable[None]], *, seed: int
) -> list[Viewer]:
    """Writers write, each feed has viewers, and there is trouble in the middle of it. Returns the viewers, verified."""
    async with Writers(database.app_dsn, people(3), seed=seed) as writers:
        viewers = [Viewer(owner) for _ in feeds for owner in writers.owners]
        async with asyncio.TaskGroup() as group:
            for number, viewer in enumerate(viewers):
                group.create_task(follow(feeds[number // 3], viewer, database.feed_dsn))
            await writers.run(4, 20)
            load = group.create_task(writers.run(4, 40))
            await trouble()
            await load
            await writers.run(4, 20)
            await writers.finish()
    verify(writers.history, viewers)
    return viewers


class Everything:
    """A tap that keeps every event which the hub has published."""

    def __init__(self, feed: Feed) -> None:
        self.events: list[Event] = []
        self.marks: set[int] = set()
        self.restarts = 0
        feed.hub.taps.add(self)

    def published(self, events: Sequence[Event], _cursor: object) -> None:
        """See Tap."""
        self.events += events
        self.marks.update(
            event.values()["progress"] for event in events if event.op in ("insert", "update") and event.owner
        )

    def restarted(self, _cursor: object) -> None:
        """See Tap."""
        self.restarts += 1

    @property
    def repeats(self) -> int:
        """Events that were published more than once."""
        return len(self.events) - len({event.seq for event in self.events})


def people(number: int) -> list[UUID]:
    """So many users whom nobody else knows."""
    return [uuid4() for _ in range(number)]
