"""Places that are odd: of another epoch, forged, from the future, or ahead of this process."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from changefeed.cursor import Snapshot
from tests.integration.resuming import answer, place_of, reason
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Tasks,
    live,
    marks,
    marks_until,
    people,
    snapshot,
    told,
    until_live,
    until_seen,
    until_true,
)
from tests.support.database import Database
from tests.support.proxy import Proxy


async def test_a_place_of_another_epoch_is_answered_with_a_resync(
    database: Database, app: Connection, feed: Connection
) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        since = await place_of(running, tasks)
        await feed.execute("select changefeed.begin_epoch(true)")
        assert await running.pulse.until(lambda: running.pulse.connections > 1, PATIENCE)
        await until_live(running)
        assert reason(await answer(running, tasks, since)) == "epoch"


@pytest.mark.parametrize(
    "place",
    ["", "0", "no cursor", "0" * 16, "'; drop table x; --", "\x00", "é" * 40, "a" * 20000, "0" * 16 + ".1.0", "ready"],
)
async def test_a_place_that_is_none_is_answered_with_a_resync(database: Database, app: Connection, place: str) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        assert reason(await answer(running, tasks, place)) == "epoch"


async def test_a_forged_place_shows_nobody_elses_rows(database: Database, app: Connection, feed: Connection) -> None:
    async with live(database.feed_dsn, window_events=0) as running:
        mine, other = await Tasks.of(app, people(1)[0]), await Tasks.of(app, people(1)[0])
        await mine.add()
        await other.add()
        await until_seen(running, feed)
        assert running.hub.cursor is not None
        # The beginning of time, which nobody was ever given.
        since = str(replace(running.hub.cursor, snapshot=Snapshot(3, 3, frozenset())))
        said = await answer(running, mine, since)
        assert said[0]["data"]["outcome"] == "replayed"
        assert {message["user_id"] for message in said[1:]} == {str(mine.owner)}


async def test_a_place_from_the_future_is_answered_with_a_resync(database: Database, app: Connection) -> None:
    async with live(database.feed_dsn) as running:
        tasks = await Tasks.of(app, people(1)[0])
        assert running.hub.cursor is not None
        xmax = running.hub.cursor.snapshot.xmax + 1_000_000
        since = str(replace(running.hub.cursor, snapshot=Snapshot(xmax, xmax, frozenset())))
        assert reason(await answer(running, tasks, since)) == "epoch"


async def test_a_place_that_is_ahead_of_this_process_is_waited_for(
    database: Database, app: Connection, feed: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn) as running:
        network.freeze()
        task = await tasks.add()
        # As another process, or a REST answer, would give it: what this one has not yet read.
        assert running.hub.cursor is not None
        ahead = replace(running.hub.cursor, snapshot=await snapshot(feed))
        assert not running.hub.cursor.snapshot.covers(ahead.snapshot)
        async with tasks.subscribe(running, since=str(ahead)) as subscription:
            answering = asyncio.create_task(told(subscription))
            network.thaw()
            (ready,) = await answering
            assert ready["data"]["outcome"] == "fresh"
            # What he has seen elsewhere is not sent to him again.
            assert await marks_until(subscription, await tasks.move(task)) == [2]


async def test_what_was_committed_before_one_comes_back_counts_as_missed(database: Database, app: Connection) -> None:
    async with live(database.feed_dsn, doorbell=False, poll_interval=1) as running:
        tasks = await Tasks.of(app, people(1)[0])
        since = await place_of(running, tasks)
        for _ in range(3):
            await tasks.add()
            # The relay has not looked by itself.
            said = await answer(running, tasks, since)
            assert marks(said)[-1] == tasks.marks


async def test_a_look_that_was_under_way_is_no_answer_to_who_comes_during_it(
    database: Database,
) -> None:
    async with Proxy.to(database.feed_dsn) as network, live(network.dsn) as running:
        pulse = running.pulse
        assert await pulse.until(lambda: pulse.resting, PATIENCE)
        network.freeze()
        # A look whose answer was made before what comes now.
        begun = pulse.begun
        running.relay.look()
        await until_true(lambda: pulse.begun > begun)
        looking = asyncio.create_task(running.relay.look_anew(PATIENCE))
        await asyncio.sleep(0)
        network.thaw()
        assert await looking
        assert pulse.ended > begun + 1
