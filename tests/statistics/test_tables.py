"""Tables of other names, types and owners, and tables that change: a matter of settings, never of code."""

import asyncpg

from changefeed import Owner
from tests.statistics.living import running, somebody, viewing, workflow_of
from tests.support.database import Database


async def test_users_and_their_organisations_are_told_of_together(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    user, team = somebody(), Owner("org", "42")
    await app.execute("create table team_task (id int primary key, org int, status text, cost numeric, n int)")
    await feed.execute("select changefeed.watch('team_task', 'org', owner_kind => 'org')")
    await app.execute("insert into team_task values (1, 42, 'running', 1.5, 10), (2, 43, 'running', 7, 70)")
    workflow = await workflow_of(app, user)
    execution = await app.fetchval("insert into workflow_execution (workflow_id) values ($1) returning id", workflow)
    insert = "insert into agent_task (execution_id, user_id, tokens) values ($1, $2::text::uuid, 5)"
    await app.execute(insert, execution, user.value)
    sources = {
        "public.workflow_execution": {"kind": "execution"},
        "public.agent_task": {"kind": "agent-task"},
        "public.team_task": {"kind": "agent-task", "columns": {"cost_usd": "cost", "tokens": "n"}},
    }
    stranger = Owner("user", "42")
    async with (
        running(database, sources=sources) as found,
        viewing(found, user, team) as both,
        viewing(found, user) as alone,
        viewing(found, stranger) as other,
    ):
        assert (await both.told("dashboard-stats", agent_tasks__tokens=15))["agent_tasks"]["cost_usd"] == "1.5"
        await alone.told("dashboard-stats", agent_tasks__tokens=5)
        await other.told("dashboard-stats", agent_tasks__total=0)
        await app.execute("update team_task set n = n + 1")
        await both.told("dashboard-stats", agent_tasks__tokens=16)
        assert len(alone.bodies["dashboard-stats"]) == 1


async def test_other_names_are_a_matter_of_settings(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    """Names with capitals, spaces, quotes and keywords, other types, and an expression that walks over two tables."""
    await admin.execute('create schema "My App" authorization app')
    await app.execute('create table "My App"."group" (id bigint primary key, "owner\'s" varchar(40))')
    await app.execute(
        'create table "My App"."flow" (id bigint primary key, "group" bigint references "My App"."group")'
    )
    await app.execute("create type state as enum ('on', 'done', 'broken')")
    await app.execute(
        'create table "My App"."Run ""x"" now" ("Key" bigint primary key, flow_id bigint, "state" state, "the cost" float8,'
        ' "begun at" timestamp, ended date, "user" char(5))'
    )
    expression = (
        '(select g."owner\'s" from "My App".flow f join "My App"."group" g on g.id = f."group" where f.id = r.flow_id)'
    )
    await feed.execute("""select changefeed.watch('"My App"."Run ""x"" now"', $1)""", expression)
    await app.execute("""insert into "My App"."group" values (1, 'O''Hara'), (2, 'nobody')""")
    await app.execute('insert into "My App".flow values (1, 1), (2, 2)')
    sources = {
        'My App.Run "x" now': {
            "kind": "execution",
            "columns": {
                "execution_id": "Key", "workflow_id": "flow_id", "status": "state", "cost_usd": "the cost",
                "started_at": "begun at", "completed_at": "ended", "current_node": "user",
            },
            "running": ["on"], "completed": ["done"], "failed": ["broken"],
        }
    }  # fmt: skip
    owner = Owner("user", "O'Hara")
    insert = 'insert into "My App"."Run ""x"" now" values ($1, $2, $3, $4, $5::text::timestamp, $6::text::date, $7)'
    await app.execute(insert, 1, 1, "done", 0.1, "2026-03-29 02:30", "2026-03-30", "a")
    await app.execute(insert, 2, 2, "done", 5.0, "2026-01-01", "2026-01-02", "b")
    async with running(database, sources=sources) as found, viewing(found, owner) as viewer:
        assert (await viewer.told("dashboard-stats"))["executions"] == {
            "total": 1, "by_status": {"done": 1}, "success_rate": 1.0, "avg_duration_seconds": 77400.0, "cost_usd": "0.1",
        }  # fmt: skip
        await app.execute(insert, 3, 1, "broken", 0.2, "2026-03-29 02:30", "infinity", "c")
        await app.execute(insert, 4, 1, None, float("nan"), None, None, None)
        body = await viewer.told("dashboard-stats", executions__total=3)
        assert body["executions"] == {
            "total": 3, "by_status": {"broken": 1, "done": 1}, "success_rate": 0.5, "avg_duration_seconds": 77400.0,
            "cost_usd": "0.3",
        }  # fmt: skip
        assert found.statistics.aggregates["dashboard-stats"] == 1
        async with viewing(found, somebody(), owner) as later:
            assert await later.told("dashboard-stats") == body, "an aggregate reads the values that events do"


async def test_a_column_that_is_not_watched_counts_on_neither_side(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    owner = somebody()
    await feed.execute(
        "select changefeed.watch('workflow_execution', '(select w.owner_id from workflow w where w.id = r.workflow_id)',"
        " columns => array['status'])"
    )
    await app.execute(
        "insert into workflow_execution (workflow_id, cost_usd) values ($1, 7)", await workflow_of(app, owner)
    )
    async with running(database) as found, viewing(found, owner) as viewer:
        await viewer.told("dashboard-stats", executions__total=1, executions__cost_usd="0")
        await app.execute("update workflow_execution set cost_usd = 9, status = 'completed'")
        await viewer.told("dashboard-stats", executions__success_rate=1.0, executions__cost_usd="0")


async def test_a_table_that_is_watched_anew_or_no_longer_is_read_anew(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    owner = somebody()
    await app.execute("insert into workflow_execution (workflow_id) values ($1)", await workflow_of(app, owner))
    async with running(database) as found, viewing(found, owner) as viewer:
        await viewer.told("dashboard-stats", executions__total=1)
        await feed.execute("select changefeed.watch('workflow_execution', 'current_node')")
        await viewer.told("dashboard-stats", executions__total=0)
        await app.execute("update workflow_execution set current_node = $1", owner.value)
        await viewer.told("dashboard-stats", executions__total=1)
        await feed.execute("select changefeed.unwatch('workflow_execution')")
        await viewer.told("dashboard-stats", executions__total=0)
