"""Statistics as a subscriber lives with them: the whole engine, on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from changefeed import Feed, Owner, Settings
from changefeed.errors import TopicError
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


async def test_ready_comes_first_then_the_numbers_then_their_changes(
    database: Database, app: asyncpg.Connection
) -> None:
    owner = somebody()
    workflow = await workflow_of(app, owner)
    await app.execute("insert into workflow_execution (workflow_id, status) values ($1, 'running')", workflow)
    async with running(database) as feed, viewing(feed, owner) as viewer:
        await viewer.told("dashboard-stats", executions__total=1)
        assert viewer.kinds[:2] == ["ready", "dashboard-stats-update"]
        await app.execute("update workflow_execution set status = 'completed', cost_usd = 0.25")
        body = await viewer.told("dashboard-stats", executions__cost_usd="0.25")
        assert body["executions"]["by_status"] == {"completed": 1}
        assert feed.statistics.aggregates["dashboard-stats"] == 1
        assert set(viewer.kinds) == {"ready", "dashboard-stats-update", "execution-completed"}


async def test_an_owner_change_of_a_parent_moves_its_numbers(database: Database, app: asyncpg.Connection) -> None:
    former, new = somebody(), somebody()
    workflow = await workflow_of(app, former)
    await app.execute("insert into workflow_execution (workflow_id, status) values ($1, 'running')", workflow)
    async with running(database) as feed, viewing(feed, former) as first, viewing(feed, new) as second:
        await first.told("dashboard-stats", executions__total=1)
        await second.told("dashboard-stats", executions__total=0)
        await app.execute("update workflow set owner_id = $1::text::uuid", new.value)
        await first.told("dashboard-stats", executions__total=0)
        await second.told("dashboard-stats", executions__total=1)
        await app.execute("delete from workflow")
        await second.told("dashboard-stats", executions__total=0)


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


async def test_numbers_that_were_tampered_with_are_counted_as_drift_and_mended(
    database: Database, app: asyncpg.Connection
) -> None:
    owner = somebody()
    workflow = await workflow_of(app, owner)
    await app.execute("insert into workflow_execution (workflow_id) values ($1)", workflow)
    async with running(database, statistics_check_interval=0.05) as feed, viewing(feed, owner) as viewer:
        await viewer.told("dashboard-stats", executions__total=1)
        # What the log does not hold: as when somebody has switched the capture off for an import.
        async with app.transaction():
            await app.execute("set local changefeed.skip = on")
            await app.execute("insert into workflow_execution (workflow_id) values ($1)", workflow)
        await viewer.told("dashboard-stats", executions__total=2)
        assert feed.statistics.drift["dashboard-stats"] == 1
        async with viewing(feed, admin=True, topics=frozenset({"system-metrics"})) as admin:
            await admin.told("system-metrics", changefeed__statistics_drift=1)


async def test_admins_see_how_the_connectors_do_watched_or_not(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    connector = await app.fetchval("insert into connector (name, provider) values ('Mail', 'imap') returning id")
    insert = (
        "insert into connector_call (connector_id, status, latency_ms, created_at)"
        " values ($1, $2, $3, now() - $4::int * interval '1 hour')"
    )
    for status, latency, hours in (("success", 10, 0), ("success", 30, 1), ("error", 500, 2), ("timeout", 900, 25)):
        await app.execute(insert, connector, status, latency, hours)
    await feed.execute("select changefeed.watch('connector_call', 'user_id')")
    async with running(database) as found, viewing(found, admin=True) as admin, viewing(found, somebody()) as user:
        body = await admin.told("connector-stats", calls=3)
        assert body["connectors"] == [
            {
                "connector_id": str(connector), "name": "Mail", "provider": "imap", "calls": 3, "errors": 1, "timeouts": 0,
                "error_rate": 0.333333, "latency_p50_ms": 30, "latency_p95_ms": 500,
            }
        ]  # fmt: skip
        found.statistics._rest_until.clear()
        await app.execute(insert, connector, "timeout", 1000, 0)
        await admin.told("connector-stats", calls=4, timeouts=1, error_rate=0.5)
        await user.told("dashboard-stats")
        assert not user.bodies["connector-stats"]
        with pytest.raises(TopicError, match="administrators"):
            found.choose(["connector-stats"], admin=False)


async def test_a_statistic_whose_tables_are_not_there_hinders_no_other(
    database: Database, app: asyncpg.Connection
) -> None:
    await app.execute("drop table connector cascade")
    async with running(database) as feed, viewing(feed, somebody(), admin=True) as admin:
        for topic in ("dashboard-stats", "cost-analytics", "system-metrics"):
            await admin.told(topic)
        assert not admin.bodies["connector-stats"]


async def test_system_metrics_are_read_once_however_many_look_and_only_while_one_does(database: Database) -> None:
    async with running(database, system_metrics_interval=0.05) as feed:
        assert feed.vitals.readings == 0
        wanted = frozenset({"system-metrics"})
        async with viewing(feed, admin=True, topics=wanted) as one, viewing(feed, admin=True, topics=wanted) as other:
            await one.until(lambda: len(one.bodies["system-metrics"]) >= 4)
            await other.until(lambda: len(other.bodies["system-metrics"]) >= 4)
            told = [body["sampled_at"] for viewer in (one, other) for body in viewer.bodies["system-metrics"]]
            assert len(set(told)) <= feed.statistics.aggregates["system-metrics"] <= feed.vitals.readings
            assert len(told) > len(set(told)), "both saw the same readings"
            body = one.bodies["system-metrics"][-1]
        assert body["database"]["name"] == database.name
        assert body["database"]["transactions_per_second"] >= 0
        assert body["changefeed"] | {"live": True, "leading": True, "relays": 1, "sessions": 2} == body["changefeed"]
        assert body["host"]["cpu_percent"] is None or 0 <= body["host"]["cpu_percent"] <= 100
        feed.statistics.sweep()
        assert feed.statistics.until_asking() == float("inf")


async def test_a_subscriber_who_wants_other_topics_costs_no_aggregate(database: Database) -> None:
    async with running(database) as feed, viewing(feed, somebody(), topics=frozenset({"executions"})) as viewer:
        await viewer.until(lambda: bool(viewer.kinds))
        assert set(feed.statistics.aggregates.values()) == {0}
        seen = {admin: feed.statistics.topics & set(feed.visible(admin)) for admin in (False, True)}
        assert seen == {False: {"dashboard-stats"}, True: set(TOPICS.values())}


async def test_a_feed_without_statistics_has_none(database: Database, app: asyncpg.Connection) -> None:
    owner = somebody()
    workflow = await workflow_of(app, owner)
    async with Feed(Settings(dsn=database.feed_dsn)) as feed:
        assert await feed.pulse.until(lambda: feed.pulse.live, LONGEST)
        assert not set(TOPICS.values()) & set(feed.visible(admin=True))
        async with viewing(feed, owner, admin=True) as viewer:
            await app.execute("insert into workflow_execution (workflow_id) values ($1)", workflow)
            await viewer.until(lambda: len(viewer.kinds) >= 2)
            assert viewer.kinds == ["ready", "execution-updated"]


async def test_after_a_lost_connection_the_numbers_are_right_again(
    database: Database, app: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    owner = somebody()
    workflow = await workflow_of(app, owner)
    async with running(database) as feed, viewing(feed, owner) as viewer:
        await viewer.told("dashboard-stats", executions__total=0)
        for number in range(3):
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like 'changefeed%'"
            )
            await app.execute("insert into workflow_execution (workflow_id) values ($1)", workflow)
            await app.execute("delete from workflow where name = 'none'")
            await viewer.told("dashboard-stats", executions__total=number + 1)
