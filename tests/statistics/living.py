"""Subscribers of the whole engine, and what statistics they were told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg

from changefeed import Feed, Owner, Settings
from changefeed.subscription import Subscription
from tests.statistics.watching import TOPICS
from tests.support.database import Database

LONGEST = 20.0
"""Seconds after which waiting is given up: the test has failed."""


@asynccontextmanager
async def running(database: Database, **settings: Any) -> AsyncIterator[Feed]:
    async with Feed(
        Settings(dsn=database.feed_dsn, **({"statistics_interval": 0.01} | settings)), statistics=True
    ) as feed:
        assert await feed.pulse.until(lambda: feed.pulse.live, LONGEST)
        yield feed


class Viewer:
    """What one subscription was sent."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.kinds: list[str] = []
        self.bodies: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS.values()}

    async def until(self, reached: Callable[[], bool]) -> None:
        """Reads on until so much has come. Fails after LONGEST seconds, with what came instead."""
        try:
            async with asyncio.timeout(LONGEST):
                while not reached():
                    for item in await self._subscription.next(LONGEST) or ():
                        self.kinds.append(item.kind)
                        if item.kind in TOPICS:
                            self.bodies[TOPICS[item.kind]].append(json.loads(item.whole())["data"])
        except TimeoutError:
            raise AssertionError(f"not reached after {self.kinds}: {self.bodies}") from None

    async def told(self, topic: str, **members: Any) -> dict[str, Any]:
        """Reads on until the newest body of this statistic has these members, `executions__total=3`. Returns it."""

        def as_wished() -> bool:
            newest = self.bodies[topic][-1:]
            return bool(newest) and all(found(newest[0], path) == value for path, value in members.items())

        await self.until(as_wished)
        return self.bodies[topic][-1]


def found(body: Any, path: str) -> Any:
    for name in path.split("__"):
        body = body[int(name)] if isinstance(body, list) else body.get(name)
    return body


@asynccontextmanager
async def viewing(feed: Feed, *owners: Owner, **more: Any) -> AsyncIterator[Viewer]:
    async with feed.subscribe(owners, **more) as subscription:
        yield Viewer(subscription)


async def workflow_of(app: asyncpg.Connection, owner: Owner) -> Any:
    return await app.fetchval(
        "insert into workflow (owner_id, name) values ($1::text::uuid, 'w') returning id", owner.value
    )


def somebody(kind: str = "user") -> Owner:
    return Owner(kind, str(uuid4()))
