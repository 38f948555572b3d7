"""The plans of the hot queries, on a log that is full: indexes, and never a look at every event.

As the relay and the sessions run them: with their connections' settings and generic plans. The server's statistics are
as old as they may be: made when the log was empty.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from changefeed import eventlog
from changefeed.cursor import Snapshot
from changefeed.event import Owner
from changefeed.listener import connect
from changefeed.sql import query
from tests.integration.vocabulary import PATIENCE, Connection, snapshot
from tests.support.database import Database

EVENTS = 40_000
OWNERS = 400

FILL = """
insert into changefeed.event (source, op, key, owner, owner_kind, data, slot)
select 'public.agent_task', 'update', jsonb_build_object('id', n), (n % $2)::text, 'user', '{"progress": 1}', n % 8
  from generate_series(1, $1) as n
"""


@pytest.fixture
async def reader(database: Database, admin: Connection) -> AsyncIterator[Connection]:
    """A connection as the relay has it, to a log that is full since nobody has looked at its statistics."""
    await admin.execute("analyze")
    await admin.execute("insert into changefeed.event (source, op) values ('public.agent_task', 'truncate')")
    await admin.execute(FILL, EVENTS, OWNERS, timeout=PATIENCE)
    connection = await connect(database.feed_dsn, PATIENCE, "reader")
    yield connection
    connection.terminate()


async def plan(reader: Connection, name: str, *arguments: Any) -> list[dict[str, Any]]:
    """The nodes of the plan that a query runs with."""
    statement = await reader.prepare(query(name))
    text = await statement.explain(*arguments, analyze=True)
    return list(nodes(text[0]["Plan"] if isinstance(text, list) else json.loads(text)[0]["Plan"]))


def nodes(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and everything below it."""
    yield top
    for below in top.get("Plans", []):
        yield from nodes(below)


def read(found: list[dict[str, Any]]) -> int:
    """How many rows of the log were looked at, also those that were not wanted."""
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in found
        if str(node.get("Relation Name", "")).startswith("event_")
    )


def scans(found: list[dict[str, Any]]) -> set[str]:
    """How the log's leaves were read, where they were."""
    return {
        node["Node Type"]
        for node in found
        if str(node.get("Relation Name", "")).startswith("event_") and node["Actual Loops"]
    }


async def recent(admin: Connection, number: int) -> Snapshot:
    """A place, and so many events after it, of as many owners."""
    place = await snapshot(admin)
    await admin.execute(FILL, number, OWNERS)
    return place


async def test_a_poll_reads_what_is_new_and_nothing_else(reader: Connection, admin: Connection) -> None:
    place = await recent(admin, 50)
    found = await plan(reader, "poll", place.xmax, sorted(place.xip), 2001)
    assert "Seq Scan" not in scans(found)
    assert read(found) == 50


async def test_a_poll_that_finds_nothing_reads_nothing(reader: Connection, admin: Connection) -> None:
    place = await snapshot(admin)
    found = await plan(reader, "poll", place.xmax, [place.xmin, place.xmin + 1], 2001)
    assert read(found) == 0


async def test_a_poll_of_a_large_backlog_stops_at_its_limit(reader: Connection) -> None:
    found = await plan(reader, "poll", 3, [], 101)
    assert "Seq Scan" not in scans(found)
    assert read(found) <= 101


async def test_a_replay_reads_the_owners_events_and_nobody_elses(reader: Connection, admin: Connection) -> None:
    place = await recent(admin, 4 * OWNERS)
    found = await plan(reader, "missed", place.xmax, sorted(place.xip), ["7"], None, -1, 2000)
    assert "Seq Scan" not in scans(found)
    assert read(found) == 4


async def test_a_replay_of_everything_still_reads_the_owners_events_alone(reader: Connection) -> None:
    found = await plan(reader, "missed", 3, [], ["7"], None, -1, 2000)
    assert "Seq Scan" not in scans(found)
    # His hundred, and the one that is for everybody.
    assert read(found) == EVENTS // OWNERS + 1


async def test_a_later_page_of_a_replay_reads_no_more_than_the_first(reader: Connection) -> None:
    page = await eventlog.missed(reader, Snapshot(3, 3, frozenset()), [Owner("user", "7")], None, -1, 10, PATIENCE)
    last = page.events[-1].seq
    found = await plan(reader, "missed", 3, [], ["7"], str(page.snapshot), last, 10)
    assert read(found) <= EVENTS // OWNERS + 1


async def test_owner_changes_are_found_without_a_look_at_every_event(reader: Connection, admin: Connection) -> None:
    await admin.execute(
        "insert into changefeed.event (source, op, owner, owner_kind, data)"
        " select 'public.agent_task', 'bulk', n::text, 'user', '{\"reason\": \"owner\"}' from generate_series(1, 20) n"
    )
    found = await plan(reader, "handovers", 10_000)
    assert "Seq Scan" not in scans(found)
    assert read(found) == 21


async def test_a_window_is_read_by_index(reader: Connection, admin: Connection) -> None:
    place = await recent(admin, 50)
    found = await plan(reader, "window", place.xmax, sorted(place.xip))
    assert "Seq Scan" not in scans(found)
    assert read(found) == 50


async def test_emptying_a_leaf_does_not_read_it(reader: Connection, admin: Connection) -> None:
    del reader
    # What decides whether a leaf may be emptied runs with a lock on it that stops every writer.
    await admin.execute("update changefeed.event set slot = (changefeed.slot() + 4) % 8")
    await admin.fetchval("select changefeed.rotate()", timeout=PATIENCE)
    await admin.execute(
        "update changefeed.leaf set sealed_at = sealed_at - interval '2 days' where sealed_at is not null"
    )
    relation = await admin.fetchval("select relation::text from changefeed.leaf where sealed_at is not null")
    await admin.execute("set stats_fetch_consistency = 'none'")
    before = await tuples_read(admin, relation)
    assert await admin.fetchval("select changefeed.rotate()", timeout=PATIENCE) == 1
    assert await tuples_read(admin, relation) - before < 100


async def tuples_read(admin: Connection, relation: str) -> int:
    """Rows of this leaf that were ever read, by whatever way."""
    await admin.execute("select pg_stat_force_next_flush()")
    return int(
        await admin.fetchval(
            "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_all_tables where relid = $1::text::regclass",
            relation,
        )
    )
