"""How much is read and made at a time: bounded in bytes, by what the network carries, and by what others wait for."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.resuming import MEMORY, place_of
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Tasks,
    live,
    marks,
    marks_until,
    people,
    told,
    until_seen,
)
from tests.support.database import Database
from tests.support.proxy import Proxy


@pytest.mark.parametrize("source", MEMORY)
async def test_pages_are_as_small_as_their_events_are_large(
    database: Database, app: Connection, feed: Connection, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """However many sessions read on from the log, each holds a few MiB."""
    monkeypatch.setattr("changefeed.portion.FIRST_ROWS", 1)
    monkeypatch.setattr("changefeed.portion.PAGE_BYTES", 15_000)
    async with live(database.feed_dsn, **MEMORY[source], page_rows=7) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            for text, largest in ((None, 7), ("x" * 4000, 3)):
                place, before = subscription.place(), tasks.marks
                for _ in range(20):
                    await tasks.add(text=text)
                await until_seen(running, feed)
                subscription.session.lag(place)
                seen: list[int | None] = []
                sizes: list[int] = []
                while tasks.marks not in seen:
                    page = marks(await told(subscription))
                    seen += page
                    sizes.append(len(page))
                assert seen == list(range(before + 1, before + 21))
                assert max(sizes) == largest
                if source == "log":
                    assert sizes[:3] == [1, 2, largest if text else 4]


async def test_a_network_that_is_too_slow_for_large_pages_gets_smaller_ones(
    database: Database, app: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one large transaction would be asked for again and again, and nothing would arrive any more."""
    for module in ("relay", "delivery"):
        monkeypatch.setattr(f"changefeed.{module}.ANSWER_SECONDS", 0.5)
    tasks = await Tasks.of(app, people(1)[0])
    async with (
        Proxy.to(database.feed_dsn) as network,
        live(network.dsn) as running,
        tasks.subscribe(running) as subscription,
    ):
        await told(subscription)
        network.bytes_per_second = 4_000_000
        async with app.transaction():
            for _ in range(100):
                await tasks.add(text="x" * 30_000)
        assert await running.pulse.until(lambda: running.pulse.found >= 100, PATIENCE)
        assert await marks_until(subscription, 100) == list(range(1, 101))


async def test_while_much_is_replayed_from_memory_others_get_their_turns(
    database: Database, app: Connection, feed: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changefeed.replay.AT_ONCE", 5)
    turns = 0

    async def somebody() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await until_seen(running, feed)
        since = await place_of(running, tasks)
        async with app.transaction():
            for _ in range(100):
                await tasks.add()
        await until_seen(running, feed)
        async with tasks.subscribe(running) as subscription:
            await told(subscription)
            position = subscription.place()
            subscription.session.lag(type(position).parse(since))
            waiting = asyncio.create_task(somebody())
            await asyncio.sleep(0)
            before = turns
            whole = await running.replays.whole(subscription.session)
            waiting.cancel()
            assert len(whole) == 100
            assert turns - before >= 100 / 5
