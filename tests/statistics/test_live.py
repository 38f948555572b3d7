"""Statistics as a subscriber lives with them: the whole engine, on a real server."""

import asyncpg
import pytest

from changefeed import Feed, Settings
from changefeed.errors import TopicError
from tests.statistics.living import LONGEST, running, somebody, viewing, workflow_of
from tests.statistics.watching import TOPICS
from tests.support.database import Database


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
