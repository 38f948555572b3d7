"""The hot queries find their rows by an index, in a log that is full and of which the statistics say it is empty."""

import json
from typing import Any

import asyncpg
import pytest

from changefeed.sql import query
from tests.support.database import Database

PARAMETERS = {
    "poll": "('{xmax}'::xid8, '{{{xip}}}'::xid8[], 1000)",
    "window": "('{xmax}'::xid8, '{{{xip}}}'::xid8[])",
}
TYPES = {"poll": "(xid8, xid8[], integer)", "window": "(xid8, xid8[])"}


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's nodes, outermost first."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


@pytest.fixture
async def full(feed: asyncpg.Connection) -> tuple[int, int]:
    """A log with rows in every leaf, and a cursor into it: xmax, and one transaction that was running."""
    await feed.execute(
        """
        insert into changefeed.event (source, op, xid, slot, owner)
        select 'public.item', 'insert', (1000 + g)::text::xid8, g % 8, 'owner ' || g % 100
          from generate_series(1, 20000) g
        """
    )
    return 20990, 9000


async def explained(
    connection: asyncpg.Connection, name: str, cursor: tuple[int, int], mode: str
) -> list[dict[str, Any]]:
    await connection.execute(f"set enable_seqscan = off; set jit = off; set plan_cache_mode = {mode}")
    await connection.execute(f"prepare hot {TYPES[name]} as {query(name)}")
    arguments = PARAMETERS[name].format(xmax=cursor[0], xip=cursor[1])
    plan = await connection.fetchval(f"explain (analyze, format json) execute hot {arguments}")
    await connection.execute("deallocate hot")
    return nodes(json.loads(plan)[0]["Plan"])


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", ["poll", "window"])
async def test_only_the_rows_of_the_window_are_read_and_each_by_an_index(
    feed: asyncpg.Connection, full: tuple[int, int], name: str, mode: str, analyzed: bool
) -> None:
    if analyzed:
        await feed.execute("analyze changefeed.event")
    plan = await explained(feed, name, full, mode)
    scans = [node for node in plan if str(node.get("Relation Name", "")).startswith("event")]
    assert len(scans) >= 16
    for scan in scans:
        assert scan["Node Type"] in ("Index Scan", "Bitmap Heap Scan"), scan
        # What the index gave is what the condition wants, but for what a bitmap must look at again.
        assert scan.get("Rows Removed by Filter", 0) == 0, scan
    assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) == 12
    conditions = [str(node.get("Index Cond", "")) for node in plan if "Index" in node["Node Type"]]
    assert any("xid >=" in condition for condition in conditions)
    assert any("= ANY" in condition for condition in conditions)


async def test_the_same_plan_serves_a_log_that_was_empty_when_it_was_made(
    feed: asyncpg.Connection, database: Database
) -> None:
    assert database.server_version >= 140000
    await feed.execute("analyze changefeed.event")
    plan = await explained(feed, "poll", (3, 3), "force_generic_plan")
    scans = [node for node in plan if str(node.get("Relation Name", "")).startswith("event")]
    assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Bitmap Heap Scan"}
