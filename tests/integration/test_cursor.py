"""The cursor against a model, on a real server: histories of transactions that overlap in every way.

Transactions begin, write, set savepoints and return to them, commit out of order, roll back, hold a REPEATABLE READ
snapshot. In between somebody polls. The model is as simple as the promise: a poll returns what has committed since the
poll before, all of it and nothing else, whatever else is open; and each row's changes in their order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from changefeed import eventlog
from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Owner
from changefeed.listener import connect
from changefeed.portion import Portion
from tests.integration.vocabulary import PATIENCE, Connection, people
from tests.support.database import Database

SESSIONS = 4
ROWS = 4

Step = tuple[str, int, int]
"""What, in which session, on which row or with which limit."""

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, SESSIONS - 1), st.integers(0, ROWS - 1)),
        st.tuples(
            st.sampled_from(["begin", "begin strictly", "savepoint", "return", "commit", "commit", "roll back"]),
            st.integers(0, SESSIONS - 1),
            st.just(0),
        ),
        st.tuples(st.just("poll"), st.just(0), st.integers(1, 6)),
    ),
    min_size=25,
    max_size=70,
)


@dataclass
class Applicant:
    """A session of the application, with what the model knows of its transaction."""

    connection: Connection
    levels: list[list[int]] = field(default_factory=list)
    """Marks written, for each savepoint; empty where no transaction is open."""
    rows: set[int] = field(default_factory=set)
    """Rows that it holds."""
    strict: bool = False
    changed: set[int] = field(default_factory=set)
    """Rows that others have changed since its snapshot."""


@dataclass
class World:
    """The server, and the model of it."""

    reader: Connection
    applicants: list[Applicant]
    rows: list[Any] = field(default_factory=list)
    mark: int = 0
    place: Snapshot | None = None
    committed: list[int] = field(default_factory=list)
    """Everything that committed, in any order within what one poll returns."""
    polled: int = 0
    places: list[tuple[Snapshot, int]] = field(default_factory=list)
    """Where polls ended, and how much had committed by then."""
    seen: list[Event] = field(default_factory=list)
    """What the polls returned, one after the other."""

    async def begin(self, owner: Any) -> None:
        """New rows, and a place after them."""
        app = self.applicants[0].connection
        workflow = await app.fetchval("insert into workflow (owner_id, name) values ($1, 'w') returning id", owner)
        execution = await app.fetchval(
            "insert into workflow_execution (workflow_id) values ($1) returning id", workflow
        )
        insert = "insert into agent_task (execution_id, user_id) values ($1, $2) returning id"
        self.rows = [await app.fetchval(insert, execution, owner) for _ in range(ROWS)]
        self.place = (await eventlog.poll(self.reader, None, 0, PATIENCE)).snapshot
        self.places.append((self.place, 0))

    async def take(self, step: Step) -> None:
        """One step, if it makes sense."""
        what, who, number = step
        if what == "poll":
            await self.poll(number)
            return
        applicant = self.applicants[who]
        execute = applicant.connection.execute
        if what == "write":
            await self.write(applicant, number)
        elif what.startswith("begin") and not applicant.levels:
            applicant.strict = what == "begin strictly"
            await execute(f"begin isolation level {'repeatable read' if applicant.strict else 'read committed'}")
            # A snapshot is taken by the first statement, not by BEGIN.
            await execute("select")
            applicant.levels, applicant.changed = [[]], set()
        elif what == "savepoint" and applicant.levels:
            await execute(f"savepoint s{len(applicant.levels)}")
            applicant.levels.append([])
        elif what == "return" and len(applicant.levels) > 1:
            applicant.levels.pop()
            # Row locks that the savepoint took are kept in the model: a row that is free meanwhile is only used less.
            await execute(f"rollback to savepoint s{len(applicant.levels)}")
            await execute(f"release savepoint s{len(applicant.levels)}")
        elif what in ("commit", "roll back") and applicant.levels:
            await execute("commit" if what == "commit" else "rollback")
            self.end(applicant, committed=what == "commit")

    async def write(self, applicant: Applicant, row: int) -> None:
        """A change of a row that nobody else holds: a real one would wait."""
        if any(row in other.rows for other in self.applicants if other is not applicant):
            return
        self.mark += 1
        alone = not applicant.levels
        if alone:
            applicant.levels = [[]]
        try:
            await applicant.connection.execute(
                "update agent_task set progress = $2 where id = $1", self.rows[row], self.mark
            )
        except asyncpg.SerializationError:
            assert applicant.strict
            assert row in applicant.changed
            await applicant.connection.execute("rollback")
            self.end(applicant, committed=False)
            return
        applicant.levels[-1].append(self.mark)
        applicant.rows.add(row)
        if alone:
            self.end(applicant, committed=True)

    def end(self, applicant: Applicant, *, committed: bool) -> None:
        """The model's side of a transaction's end."""
        if committed:
            self.committed += [mark for level in applicant.levels for mark in level]
            for other in self.applicants:
                other.changed |= applicant.rows
        applicant.levels, applicant.rows, applicant.strict = [], set(), False

    async def poll(self, limit: int) -> None:
        """As the relay does: one answer, or, where that is full, a window in pages."""
        assert self.place is not None
        page = await eventlog.poll(self.reader, self.place, limit, PATIENCE)
        events, end = list(page.events), page.snapshot
        if page.more:
            assert len(events) == limit
            events = []
            async for part, end, _ in eventlog.window(self.reader, self.place, Portion(limit), PATIENCE):  # noqa: B007
                assert len(part) <= limit
                events += part
        new = self.committed[self.polled :]
        assert sorted(marks(events)) == sorted(new)
        assert [event.seq for event in events] == sorted(event.seq for event in events)
        self.seen += events
        assert rows_in_order(self.seen)
        assert all(end.includes(event.xid) and not self.place.includes(event.xid) for event in events)
        assert end.covers(self.place)
        self.place, self.polled = end, len(self.committed)
        self.places.append((end, self.polled))

    async def finish(self) -> None:
        """Whoever is open gives up."""
        for applicant in self.applicants:
            if applicant.levels:
                await applicant.connection.execute("rollback")
                self.end(applicant, committed=False)


def marks(events: Iterable[Event]) -> list[int]:
    """What the events carry."""
    return [event.values()["progress"] for event in events]


def rows_in_order(events: Sequence[Event]) -> bool:
    """Each row's marks, which only grow, come in their order."""
    by_row: dict[str | None, list[int]] = {}
    for event in events:
        by_row.setdefault(event.key, []).append(event.values()["progress"])
    return all(found == sorted(found) for found in by_row.values())


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[list[Connection]]:
    """The reader's, and the application's sessions."""
    async with AsyncExitStack() as stack:
        reader = await connect(database.feed_dsn, PATIENCE, "reader")
        stack.callback(reader.terminate)
        opened = [reader]
        for _ in range(SESSIONS):
            opened.append(await asyncpg.connect(database.app_dsn))
            stack.callback(opened[-1].terminate)
        yield opened


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=steps, limit=st.integers(1, 5))
async def test_a_poll_returns_what_has_committed_since_the_poll_before(
    connections: list[Connection], history: list[Step], limit: int
) -> None:
    owner = people(1)[0]
    world = World(connections[0], [Applicant(connection) for connection in connections[1:]])
    await world.begin(owner)
    try:
        for step in history:
            await world.take(step)
        # With everything that is open still open: nobody is waited for.
        await world.poll(limit)
        # And a session that comes back to any of those places, in pages, gets the same.
        for place, seen in world.places:
            text = str(Cursor("0" * 16, place))
            assert Cursor.parse(text).snapshot == place
            found = await missed(world.reader, place, Owner("user", str(owner)), limit)
            assert sorted(marks(found)) == sorted(world.committed[seen:])
            assert rows_in_order(found)
    finally:
        await world.finish()


async def missed(reader: Connection, place: Snapshot, owner: Owner, limit: int) -> list[Event]:
    """All pages of what one owner has missed."""
    events: list[Event] = []
    upto, last_seq = None, -1
    while True:
        page = await eventlog.missed(reader, place, [owner], upto, last_seq, limit, PATIENCE)
        events += page.events
        if len(page.events) < limit:
            return events
        upto, last_seq = page.snapshot, page.events[-1].seq


async def test_all_pages_of_a_replay_are_one_window_whatever_commits_between_them(
    connections: list[Connection],
) -> None:
    reader, app, other, *_ = connections
    owner = people(1)[0]
    world = World(reader, [Applicant(app), Applicant(other)])
    await world.begin(owner)
    assert world.place is not None
    await world.take(("begin", 1, 0))
    # The open transaction writes first, so its event stands before the others', and is not theirs to see.
    for step in (("write", 1, 3), ("write", 0, 0), ("write", 0, 1), ("write", 0, 2)):
        await world.take(step)
    owners = [Owner("user", str(owner))]
    first = await eventlog.missed(reader, world.place, owners, None, -1, 2, PATIENCE)
    await world.take(("commit", 1, 0))
    await world.take(("write", 0, 0))
    rest = await eventlog.missed(reader, world.place, owners, first.snapshot, first.events[-1].seq, 10, PATIENCE)
    assert marks([*first.events, *rest.events]) == [2, 3, 4]
    assert rest.snapshot == first.snapshot
    # What came between is in the next window, and in its order.
    after = await eventlog.missed(reader, rest.snapshot, owners, None, -1, 10, PATIENCE)
    assert marks(after.events) == [1, 5]


async def test_a_window_in_pages_shows_one_moment_whatever_commits_between_them(
    connections: list[Connection],
) -> None:
    reader, app, *_ = connections
    world = World(reader, [Applicant(app)])
    await world.begin(people(1)[0])
    assert world.place is not None
    for number in range(6):
        await world.take(("write", 0, number % ROWS))
    found: list[int] = []
    ends = set()
    async with aclosing(eventlog.window(reader, world.place, Portion(2), PATIENCE)) as pages:
        async for events, end, _ in pages:
            found += marks(events)
            ends.add(end)
            await world.take(("write", 0, 0))
    assert (found, len(ends)) == ([1, 2, 3, 4, 5, 6], 1)
    after = await eventlog.poll(reader, ends.pop(), 10, PATIENCE)
    assert marks(after.events) == [7, 8, 9]


async def test_a_window_that_is_left_early_leaves_no_transaction_behind(connections: list[Connection]) -> None:
    reader, app, *_ = connections
    world = World(reader, [Applicant(app)])
    await world.begin(people(1)[0])
    assert world.place is not None
    for number in range(4):
        await world.take(("write", 0, number))
    async with aclosing(eventlog.window(reader, world.place, Portion(1), PATIENCE)) as pages:
        assert len((await anext(pages))[0]) == 1
    assert not reader.is_in_transaction()
