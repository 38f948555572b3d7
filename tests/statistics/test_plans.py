"""What the aggregates and lists cost: the rows of those who ask, found by index, however many others there are."""

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from changefeed import statement
from changefeed.event import Owner
from changefeed.reading import Reader
from changefeed.sources import ConnectorTables
from changefeed.sql import query
from changefeed.table import Table
from tests.statistics.stage import staged
from tests.statistics.watching import bodies
from tests.support.database import Database

OWNER = UUID("00000000-0000-4000-8000-00000000000a")

CROWD = """
insert into workflow (id, owner_id, name) select gen_random_uuid(), gen_random_uuid(), 'theirs' from generate_series(1, 400);
insert into workflow_execution (workflow_id, status, started_at) select w.id, 'completed', now() - n * interval '1 minute'
  from workflow w, generate_series(1, 40) as n;
insert into agent_task (execution_id, user_id, created_at)
  select e.id, w.owner_id, now() - n * interval '1 hour' from workflow_execution e join workflow w on w.id = e.workflow_id,
         generate_series(1, 2) as n;
insert into workflow (id, owner_id, name) values ('00000000-0000-4000-8000-0000000000f1', $$OWNER$$, 'mine');
insert into workflow_execution (workflow_id, status)
  select '00000000-0000-4000-8000-0000000000f1', 'running' from generate_series(1, 20);
insert into agent_task (execution_id, user_id)
  select e.id, $$OWNER$$ from workflow_execution e where e.workflow_id = '00000000-0000-4000-8000-0000000000f1';
insert into connector (name, provider) values ('a', 'x'), ('b', 'y');
insert into connector_call (connector_id, created_at)
  select c.id, now() - n * interval '1 hour' from connector c, generate_series(1, 10000) as n;
""".replace("$$OWNER$$", f"'{OWNER}'")


@pytest.fixture
async def crowd(app: asyncpg.Connection, admin: asyncpg.Connection) -> None:
    """16,000 executions and 32,000 tasks of 400 others, 20 and 20 of OWNER's; the planner knows."""
    async with app.transaction():
        await app.execute("set local changefeed.skip = on")
        await app.execute(CROWD)
    for table in ("workflow", "workflow_execution", "agent_task", "connector", "connector_call"):
        await admin.execute(f"vacuum (analyze) {table}")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def explain(reader: Reader, table: Table | None, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """The nodes of the plan as it ran, in the circumstances in which the product runs it."""
    async with reader.open() as reading:
        if table is not None:
            await reading.under(table)
        plan = await reading.connection.fetchval(f"explain (analyze, format json) {sql}", *parameters)
    return nodes(json.loads(plan)[0]["Plan"])


def scanned(plan: list[dict[str, Any]], relation: str) -> set[str]:
    return {node["Node Type"] for node in plan if node.get("Relation Name") == relation}


def rows_read(plan: list[dict[str, Any]]) -> int:
    """Rows that were looked at, kept or not."""
    return sum(
        int(node.get("Actual Loops", 0) * (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)))
        for node in plan
        if "Relation Name" in node
    )


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("source", ["public.workflow_execution", "public.agent_task"])
async def test_an_owners_numbers_and_lists_are_read_from_his_own_rows(database: Database, source: str) -> None:
    async with staged(database.feed_dsn) as stage:
        async with stage.reader.open() as reading:
            table = (await reading.tables())[source]
        values = table.owners([Owner("user", str(OWNER))])
        first = statement.page(table, filters=[], after=None)
        filtered = statement.page(table, filters=["status"], after=None)
        for sql, parameters in (
            (statement.by_owner(table), [values]),
            (first, [values, 51]),
            (filtered, [values, 51, ["running"]]),
        ):
            plan = await explain(stage.reader, table, sql, *parameters)
            name = source.removeprefix("public.")
            assert "Seq Scan" not in scanned(plan, name), sql
            assert rows_read(plan) < 500, sql


@pytest.mark.usefixtures("crowd")
async def test_many_owners_at_once_cost_their_own_rows(database: Database, app: asyncpg.Connection) -> None:
    owners = [row["owner_id"] for row in await app.fetch("select owner_id from workflow order by id limit 20")]
    async with staged(database.feed_dsn) as stage:
        async with stage.reader.open() as reading:
            tables = (await reading.tables()).values()
        for table in tables:
            values = table.owners(Owner("user", str(owner)) for owner in owners)
            plan = await explain(stage.reader, table, statement.by_owner(table), values)
            assert "Seq Scan" not in scanned(plan, table.source.removeprefix("public."))


@pytest.mark.usefixtures("crowd")
async def test_connectors_are_read_from_one_day_of_calls(database: Database) -> None:
    async with staged(database.feed_dsn) as stage:
        async with stage.reader.open() as reading:
            since = await reading.connection.fetchval("select now() - interval '24 hours'")
        plan = await explain(stage.reader, None, statement.connectors(ConnectorTables()), since, ["error"], ["timeout"])
        assert "Seq Scan" not in scanned(plan, "connector_call")
        assert rows_read(plan) < 500


async def test_the_logs_figures_do_not_read_the_log(feed: asyncpg.Connection) -> None:
    await feed.execute(
        "insert into changefeed.event (source, op, slot)"
        " select 'public.t', case when n % 5000 = 0 then 'error' else 'update' end, n % 8 from generate_series(1, 20000) as n"
    )
    await feed.execute("set enable_seqscan = off")
    plan = await feed.fetchval(f"explain (analyze, format json) {query('system_metrics')}")
    found = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node.get("Relation Name", "").startswith("event_")]
    assert found
    assert not {node["Node Type"] for node in found} & {"Seq Scan"}
    assert rows_read(found) <= 4


@pytest.mark.usefixtures("crowd")
async def test_five_hundred_changes_cost_no_aggregate(database: Database, app: asyncpg.Connection) -> None:
    wanted = frozenset({"cost-analytics", "dashboard-stats"})
    async with staged(database.feed_dsn) as stage:
        session, again = (stage.join(str(OWNER), admin=True, topics=wanted) for _ in range(2))
        await stage.settle()
        before = dict(stage.statistics.aggregates)
        assert {topic for topic, count in before.items() if count == 1} == wanted
        mine = "select id from workflow_execution where workflow_id = (select id from workflow where owner_id = $1)"
        execution = await app.fetchval(f"{mine} limit 1", OWNER)
        costs = await app.fetchval("select count(*) from workflow_execution where started_at is not null")
        for number in range(500):
            change = "update workflow_execution set cost_usd = $2, started_at = now() where id = $1"
            await app.execute(change, execution, number)
            if number % 50 == 0:
                await stage.settle()
        await stage.settle()
        assert stage.statistics.aggregates == before
        for viewer in (session, again):
            items = bodies(viewer.take(0.0))
            assert items["cost-analytics"][-1]["totals"]["execution_cost_usd"] == "499"
            assert items["cost-analytics"][-1]["totals"]["executions"] == costs + 1
            assert items["dashboard-stats"][-1]["executions"]["cost_usd"] == "499"


async def test_an_owner_expression_of_another_kind_gives_the_same_numbers(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    owner = uuid4()
    workflow = await app.fetchval("insert into workflow (owner_id, name) values ($1, 'w') returning id", owner)
    await app.execute("insert into workflow_execution (workflow_id, status) values ($1, 'running')", workflow)
    told = []
    async with staged(database.feed_dsn) as stage:
        for expression in (
            "(select w.owner_id from workflow w where w.id = r.workflow_id)",
            "(select max(w.owner_id::text) from workflow w where w.id = r.workflow_id and w.name <> 'nobody''s')",
        ):
            await feed.execute("select changefeed.watch('workflow_execution', $1)", expression)
            session = stage.join(str(owner))
            await stage.settle()
            told.append(stage.told(session, "dashboard-stats")[-1])
    assert told[0]["executions"]["by_status"] == {"running": 1}
    assert told[0] == told[1]
