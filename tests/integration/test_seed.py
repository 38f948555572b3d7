"""The memory of a process that has just started answers as the log does, and reaches as far back as the log and it allow."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from changefeed import eventlog
from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Owner
from changefeed.feed import Feed
from changefeed.listener import connect
from tests.integration.relays import end_listeners, until_more
from tests.integration.resuming import answer, place_of, reason
from tests.integration.test_retention import expire
from tests.integration.vocabulary import PATIENCE, Connection, Tasks, live, marks, people, snapshot, until_seen
from tests.support.database import Database

SESSIONS = 5
STEPS = 60
EVERYTHING = 1 << 20
"""Rows of one page in which the whole log fits."""


@dataclass
class Past:
    """Transactions that overlap in every way, and the places that somebody was given meanwhile."""

    chance: random.Random
    sessions: list[Connection]
    tasks: list[Tasks]
    open: dict[int, Any] = field(default_factory=dict)
    """By session."""
    held: dict[UUID, int] = field(default_factory=dict)
    """Rows that a session has changed and not committed yet."""
    rows: list[tuple[Tasks, UUID]] = field(default_factory=list)
    places: list[Snapshot] = field(default_factory=list)

    async def live(self, steps: int) -> None:
        """So many steps of it; what is open then stays open."""
        for _ in range(steps):
            number = self.chance.randrange(SESSIONS)
            step = self.chance.choice(["add", "move", "move", "end", "place"])
            if step == "place":
                self.places.append(await snapshot(self.sessions[number]))
            elif step == "end":
                await self.end(number)
            else:
                await self.write(number, step)

    async def write(self, number: int, step: str) -> None:
        connection = self.sessions[number]
        if number not in self.open:
            self.open[number] = connection.transaction()
            await self.open[number].start()
        free = [row for row in self.rows if self.held.get(row[1], number) == number]
        if step == "move" and free:
            tasks, task = self.chance.choice(free)
            await tasks.move(task, connection)
        else:
            tasks = self.chance.choice(self.tasks)
            task = await tasks.add(connection)
            self.rows.append((tasks, task))
        self.held[task] = number

    async def end(self, number: int) -> None:
        transaction = self.open.pop(number, None)
        if transaction is None:
            return
        mine = {task for task, holder in self.held.items() if holder == number}
        if self.chance.random() < 0.2:
            await transaction.rollback()
            # Whether a row is older than the transaction is not worth knowing.
            self.rows = [row for row in self.rows if row[1] not in mine]
        else:
            await transaction.commit()
        for task in mine:
            del self.held[task]


@pytest.fixture
async def past(database: Database, app: Connection) -> AsyncIterator[Past]:
    """One that is repeatable, for as long as the server does what it is told."""
    async with AsyncExitStack() as stack:
        sessions = []
        for _ in range(SESSIONS):
            sessions.append(await asyncpg.connect(database.app_dsn))
            stack.callback(sessions[-1].terminate)
        yield Past(random.Random(4), sessions, [await Tasks.of(app, owner) for owner in people(3)])


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Connection]:
    """A connection that reads the log."""
    connection = await connect(database.feed_dsn, PATIENCE, "reader")
    yield connection
    connection.terminate()


async def compared(running: Feed, reader: Connection, past: Past) -> tuple[int, int]:
    """What memory answers to every place, against the log. Returns how many it answered, and with how many events."""
    place = running.hub.cursor
    assert place is not None
    answered = events = 0
    for since in past.places:
        for tasks in past.tasks:
            owners = [Owner("user", str(tasks.owner))]
            remembered = running.hub.window.after(Cursor(place.epoch, since), owners)
            if remembered is None:
                continue
            end = place.snapshot
            missed = await eventlog.missed(reader, since, owners, end, -1, EVERYTHING, PATIENCE)
            assert by_seq(remembered) == list(missed.events)
            assert in_row_order(remembered)
            answered += 1
            events += len(remembered)
    return answered, events


def by_seq(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.seq)


def in_row_order(events: list[Event]) -> bool:
    """Whether each row's changes come as they were made."""
    last: dict[tuple[str, str | None], int] = {}
    for event in events:
        row = (event.source, event.key)
        if event.seq < last.get(row, 0):
            return False
        last[row] = event.seq
    return True


@pytest.mark.parametrize("window_events", [40, 50_000])
async def test_every_place_of_the_past_is_answered_as_the_log_would(
    database: Database, reader: Connection, past: Past, window_events: int
) -> None:
    told = refused = 0
    for _ in range(4):
        await past.live(STEPS)
        asked = len(past.places) * len(past.tasks)
        async with live(database.feed_dsn, window_events=window_events, page_rows=7) as running:
            answered, events = await compared(running, reader, past)
            told += events
            refused += asked - answered
            # What was open when it started comes later, and belongs to the answers then.
            await past.live(10)
            for number in range(SESSIONS):
                await past.end(number)
            await until_seen(running, reader)
            _, events = await compared(running, reader, past)
            told += events
    assert told > 0
    # With room for everything nobody is turned away.
    assert (refused > 0) == (window_events < 1000)


async def test_what_was_emptied_before_it_started_is_said_to_be_gone(
    database: Database, app: Connection, admin: Connection, feed: Connection
) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running:
        since = await place_of(running, tasks)
        await tasks.add()
        await until_seen(running, feed)
        await expire(admin, running)
    async with live(database.feed_dsn) as running:
        assert reason(await answer(running, tasks, since)) == "retention"


async def test_a_memory_that_had_to_be_emptied_is_filled_again_when_the_relay_connects(
    database: Database, app: Connection, admin: Connection
) -> None:
    async with live(database.feed_dsn, window_events=5, page_rows=2) as running:
        tasks = await Tasks.of(app, people(1)[0])
        await place_of(running, tasks)
        async with app.transaction():
            for _ in range(6):
                await tasks.add()
        since = await place_of(running, tasks)
        await tasks.add()
        await until_seen(running, app)
        assert running.hub.cursor is not None
        running.hub.window.restart(running.hub.cursor)
        connections = running.pulse.connections
        await end_listeners(admin)
        assert await running.pulse.until(until_more(running, connections), PATIENCE)
        assert marks(await answer(running, tasks, since)) == [7]
        assert (running.replays.from_memory, running.replays.from_log) == (1, 0)


async def test_a_memory_of_nothing_is_left_alone(database: Database, app: Connection) -> None:
    tasks = await Tasks.of(app, people(1)[0])
    async with live(database.feed_dsn) as running:
        since = await place_of(running, tasks)
    await tasks.add()
    async with live(database.feed_dsn, window_events=0) as running:
        assert marks(await answer(running, tasks, since)) == [1]
        assert (running.replays.from_memory, running.replays.from_log) == (0, 1)
