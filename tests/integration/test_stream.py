"""The stream: followers take batches from a real Redis, and whatever becomes of it, they lose nothing and repeat nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError
from redis.asyncio import Redis

from changefeed.errors import ConfigurationError
from changefeed.feed import Feed
from changefeed.listener import FOLLOWER, LOCK_CLASS
from changefeed.settings import Settings
from changefeed.sql import query
from tests.integration.relays import end_leaders
from tests.integration.vocabulary import PATIENCE, Connection, Everything, Tasks, live, people, under_load, until_seen
from tests.support.database import Database
from tests.support.redis import RedisServer, redis_server
from tests.support.requirements import require

pytestmark = pytest.mark.needs("redis")


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server(require("redis")) as server:
        yield server


async def streaming(feed: Feed, tasks: Tasks) -> None:
    """Waits until a change has come to it through the stream."""
    pulse, copies = feed.pulse, feed.pulse.copies
    while pulse.copies == copies:
        seen = pulse.found
        await tasks.add()
        assert await pulse.until(lambda seen=seen: pulse.found > seen, PATIENCE)  # type: ignore[misc]


async def test_a_follower_takes_what_comes_from_the_stream_and_hardly_looks_at_the_log(
    database: Database, app: Connection, redis: RedisServer
) -> None:
    async with live(database.feed_dsn, source=redis.url), live(database.feed_dsn, source=redis.url) as follower:
        tasks = await Tasks.of(app, people(1)[0])
        await streaming(follower, tasks)
        everything = Everything(follower)
        copies, found = follower.pulse.copies, follower.pulse.found
        for _ in range(200):
            await tasks.add()
        await until_seen(follower, app)
        # The one before may still have been on its way.
        assert follower.pulse.found - found == len(everything.events)
        assert len(everything.events) in (200, 201)
        assert [event.values()["progress"] for event in everything.events] == sorted(everything.marks)
        assert follower.pulse.copies > copies


async def test_copies_that_are_lost_or_rubbish_are_read_from_the_log(
    database: Database, app: Connection, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with live(database.feed_dsn, source=redis.url), live(database.feed_dsn, source=redis.url) as follower:
        tasks = await Tasks.of(app, people(1)[0])
        await streaming(follower, tasks)
        assert follower.hub.cursor is not None
        key = f"changefeed:{follower.hub.cursor.epoch}"
        async with Redis.from_url(redis.url) as client:

            async def trouble() -> None:
                for _ in range(20):
                    await client.delete(key)
                    await client.xadd(key, {"copy": "[1, 2, 3]"})
                    await client.xadd(key, {"other": "x"})

            viewers = await under_load(database, [follower], trouble, seed=31)
        assert not any(viewer.resyncs for viewer in viewers)
        assert "no copy of ours" in caplog.text


async def test_a_redis_that_is_killed_and_one_that_hangs_lose_nothing(database: Database, redis: RedisServer) -> None:
    async with (
        live(database.feed_dsn, source=redis.url) as leader,
        live(database.feed_dsn, source=redis.url) as follower,
    ):

        async def trouble() -> None:
            await redis.kill()
            await redis.start()
            redis.freeze()

        viewers = await under_load(database, [leader, follower], trouble, seed=32)
        redis.thaw()
        assert not any(viewer.resyncs for viewer in viewers)


async def test_a_leader_without_the_stream_rings_for_those_who_miss_it(
    database: Database, app: Connection, admin: Connection, redis: RedisServer
) -> None:
    async with live(database.feed_dsn) as leader, live(database.feed_dsn, source=redis.url, relay=False) as follower:
        tasks = await Tasks.of(app, people(1)[0])

        async def followed() -> Any:
            return await admin.fetchval(query("followers"), LOCK_CLASS, FOLLOWER)

        assert leader.pulse.leading
        while not await followed():
            await tasks.add()
            await until_seen(follower, app)
        assert follower.pulse.copies == 0


async def test_whoever_takes_over_goes_on_with_the_stream(
    database: Database, admin: Connection, redis: RedisServer
) -> None:
    async with live(database.feed_dsn, source=redis.url) as one, live(database.feed_dsn, source=redis.url) as other:
        viewers = await under_load(database, [one, other], lambda: end_leaders(one, other, admin), seed=33)
        assert not any(viewer.resyncs for viewer in viewers)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "nonsense", "postgresql://127.0.0.1/app"])
def test_what_is_no_redis_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(ValidationError, match="no Redis or Valkey"):
        Settings(source=url)


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "changefeed.stream", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'changefeed\[redis\]'"):
        Feed(Settings(dsn="postgresql://127.0.0.1/app", source="redis://127.0.0.1/0"))


async def test_a_window_that_is_read_in_pages_comes_from_the_log(
    database: Database, app: Connection, redis: RedisServer
) -> None:
    settings = {"source": redis.url, "page_rows": 10}
    async with live(database.feed_dsn, **settings), live(database.feed_dsn, **settings) as follower:
        tasks = await Tasks.of(app, people(1)[0])
        await streaming(follower, tasks)
        everything = Everything(follower)
        for _ in range(3):
            async with app.transaction():
                for _ in range(50):
                    await tasks.add()
            await tasks.add()
        await until_seen(follower, app)
        assert [event.values()["progress"] for event in everything.events] == sorted(everything.marks)
        assert len(everything.events) in (153, 154)
