"""After any history, what was told is what the tables say: in whatever order commits, looks and aggregates interleave."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from changefeed.statistic import Job
from tests.statistics.history import Writer
from tests.statistics.stage import Stage, staged
from tests.support.database import Database

STEPS = 150

# Written once more, by somebody who knows the tables and nothing of events: what the numbers ought to be.
DASHBOARD = """
with e as (select e.*, case when e.cost_usd in ('NaN', 'Infinity', '-Infinity') then 0 else e.cost_usd end as cost,
                  case when isfinite(e.started_at) and isfinite(e.completed_at)
                       then extract(epoch from e.completed_at - e.started_at) end as took
             from workflow_execution e join workflow w on w.id = e.workflow_id where w.owner_id = any ($1::uuid[])),
     t as (select t.*, case when t.cost_usd = 'NaN' then 0 else t.cost_usd end as cost
             from agent_task t where t.user_id = any ($1::uuid[]))
select json_build_object(
  'executions', json_build_object(
    'total', (select count(*) from e),
    'by_status', (select coalesce(json_object_agg(s.status, s.n), '{}')
                    from (select status, count(*) as n from e group by status) s),
    'success_rate', (select (count(*) filter (where status = 'completed'))::float8
                            / nullif(count(*) filter (where status in ('completed', 'failed')), 0) from e),
    'avg_duration_seconds', (select (sum(took) / count(took))::float8 from e),
    'cost_usd', (select trim_scale(coalesce(sum(cost), 0))::text from e)),
  'agent_tasks', json_build_object(
    'total', (select count(*) from t),
    'by_status', (select coalesce(json_object_agg(s.status, s.n), '{}')
                    from (select status, count(*) as n from t group by status) s),
    'tokens', (select coalesce(sum(tokens), 0) from t),
    'cost_usd', (select trim_scale(coalesce(sum(cost), 0))::text from t)))::text
"""
COSTS = """
with e as (select e.*, case when e.cost_usd = 'NaN' then 0 else e.cost_usd end as cost
             from workflow_execution e
            where isfinite(e.started_at) and (e.started_at at time zone 'UTC')::date > (now() at time zone 'UTC')::date - 30),
     t as (select t.*, case when t.cost_usd = 'NaN' then 0 else t.cost_usd end as cost
             from agent_task t
            where isfinite(t.created_at) and (t.created_at at time zone 'UTC')::date > (now() at time zone 'UTC')::date - 30)
select json_build_object(
  'totals', json_build_object('executions', (select count(*) from e), 'agent_tasks', (select count(*) from t),
    'execution_cost_usd', (select trim_scale(coalesce(sum(cost), 0))::text from e),
    'agent_task_cost_usd', (select trim_scale(coalesce(sum(cost), 0))::text from t),
    'tokens', (select coalesce(sum(tokens), 0) from t)),
  'by_agent', (select coalesce(json_object_agg(agent, json_build_array(n, cost, tokens)), '{}') from (
                 select agent, count(*) as n, trim_scale(sum(cost))::text as cost, sum(tokens) as tokens from t group by 1) a),
  'by_task_type', (select coalesce(json_object_agg(task_type, json_build_array(n, cost, tokens)), '{}') from (
                 select task_type, count(*) as n, trim_scale(sum(cost))::text as cost, sum(tokens) as tokens
                   from t group by 1) a),
  'by_workflow', (select coalesce(json_object_agg(workflow_id, json_build_array(n, cost)), '{}') from (
                 select workflow_id, count(*) as n, trim_scale(sum(cost))::text as cost from e group by 1) a),
  'by_day', (select coalesce(json_object_agg(day, json_build_array(executions, spent, tasks, cost, tokens)), '{}') from (
               select day, sum(executions) as executions, trim_scale(sum(spent))::text as spent, sum(tasks) as tasks,
                      trim_scale(sum(cost))::text as cost, sum(tokens) as tokens
                 from (select (started_at at time zone 'UTC')::date as day, 1 as executions, cost as spent, 0 as tasks,
                              0 as cost, 0 as tokens from e
                       union all
                       select (created_at at time zone 'UTC')::date, 0, 0, 1, cost, tokens from t) r
                group by 1) a))::text
"""
CONNECTORS = """
select c.id::text, c.name, c.provider, count(k.id) as calls, count(*) filter (where k.status = 'error') as errors,
       count(*) filter (where k.status = 'timeout') as timeouts,
       (array_agg(k.latency_ms order by k.latency_ms))[ceil(count(k.id) * 0.50)] as half,
       (array_agg(k.latency_ms order by k.latency_ms))[ceil(count(k.id) * 0.95)] as most
  from connector c left join connector_call k on k.connector_id = c.id and k.created_at >= $1::text::timestamptz
 group by c.id order by c.name
"""


async def expected_dashboard(app: asyncpg.Connection, owners: list[UUID]) -> dict[str, Any]:
    body = json.loads(await app.fetchval(DASHBOARD, owners))
    average = body["executions"]["avg_duration_seconds"]
    body["executions"]["avg_duration_seconds"] = None if average is None else round(average, 6)
    found: dict[str, Any] = body
    return found


def assert_same(told: dict[str, Any], expected: dict[str, Any]) -> None:
    took, due = told["executions"]["avg_duration_seconds"], expected["executions"]["avg_duration_seconds"]
    # A float of a numeric of a thousand years has no microseconds left.
    assert (took is None) == (due is None)
    assert took is None or due is None or abs(took - due) <= max(1e-6, abs(due) * 1e-12)
    expected["executions"]["avg_duration_seconds"] = took
    assert told == expected


def summary(costs: dict[str, Any]) -> dict[str, Any]:
    members = ("executions", "execution_cost_usd", "agent_tasks", "agent_task_cost_usd", "tokens")
    return {
        "totals": costs["totals"],
        "by_agent": {a["agent"]: [a["agent_tasks"], a["cost_usd"], a["tokens"]] for a in costs["by_agent"]},
        "by_task_type": {t["task_type"]: [t["agent_tasks"], t["cost_usd"], t["tokens"]] for t in costs["by_task_type"]},
        "by_workflow": {w["workflow_id"]: [w["executions"], w["cost_usd"]] for w in costs["by_workflow"]},
        "by_day": {day["day"]: [day[member] for member in members] for day in costs["by_day"]},
    }


async def expected_connectors(app: asyncpg.Connection, since: str) -> dict[str, Any]:
    """As the body of the statistic has it, of the calls since then."""
    rows = await app.fetch(CONNECTORS, since)

    def counted(*chosen: asyncpg.Record) -> dict[str, Any]:
        calls, errors, timeouts = (sum(row[name] for row in chosen) for name in ("calls", "errors", "timeouts"))
        rate = round((errors + timeouts) / calls, 6) if calls else None
        return {"calls": calls, "errors": errors, "timeouts": timeouts, "error_rate": rate}

    connectors = [
        {"connector_id": row["id"], "name": row["name"], "provider": row["provider"], **counted(row)}
        | {"latency_p50_ms": row["half"], "latency_p95_ms": row["most"]}
        for row in rows
    ]
    return {"since": since, "connectors": connectors, **counted(*rows)}


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    async with staged(database.feed_dsn) as found:
        yield found


async def unlock(writers: list[Writer], dice: random.Random) -> None:
    """End what would make a reader wait for a step that only comes after it."""
    for writer in writers:
        if writer.exclusive:
            await writer.end(commit=dice.random() < 0.5)


async def enact(stage: Stage, writers: list[Writer], dice: random.Random) -> None:
    """Writers write, the log is looked at, and aggregates are asked, read and answered, in any order."""
    asked: Job | None = None
    answer: Any = None
    for _ in range(STEPS):
        what = dice.random()
        if what < 0.75:
            await dice.choice(writers).step()
        elif what < 0.88:
            await stage.look()
        elif asked is None:
            stage.clock.now += dice.choice([0.0, 1.5, 3.0])
            asked = stage.statistics.next_job()
        elif answer is None:
            # Other steps lie between asking and this, when its snapshot is taken, and between this and its answer.
            await unlock(writers, dice)
            answer = await stage.answer(asked)
        else:
            stage.statistics.finish(asked, *answer)
            asked = answer = None
    await unlock(writers, dice)
    if asked is not None:
        stage.statistics.finish(asked, *(answer or await stage.answer(asked)))


@pytest.mark.parametrize("tame", [True, False], ids=["tame", "wild"])
@pytest.mark.parametrize("seed", range(4))
async def test_what_is_told_is_what_the_tables_say_after_any_history(
    seed: int, tame: bool, stage: Stage, database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    dice = random.Random(f"{seed} {tame}")
    owners = [UUID(int=dice.getrandbits(128), version=4) for _ in range(3)]
    await app.executemany(
        "insert into workflow (owner_id, name) values ($1, 'theirs')", [(owner,) for owner in owners * 2]
    )
    if seed % 2 and not tame:
        for table, owner in (
            ("workflow_execution", "(select w.owner_id from workflow w where w.id = r.workflow_id)"),
            ("agent_task", "user_id"),
            ("connector_call", "user_id"),
        ):
            await feed.execute("select changefeed.watch($1::text::regclass, $2, bulk_rows => 4)", table, owner)
    await app.execute("insert into connector (name, provider) values ('Chat', 'x'), ('Mail', 'y'), ('Never', 'z')")
    await stage.look()
    viewers = [(stage.join(str(owner)), [owner]) for owner in owners]
    viewers.append((stage.join(*map(str, owners[:2])), owners[:2]))
    admin, another = (
        stage.join(admin=True, topics=frozenset({topic})) for topic in ("cost-analytics", "connector-stats")
    )
    other = await asyncpg.connect(database.app_dsn)
    writers = [Writer(connection, dice, owners, tame=tame) for connection in (app, other)]
    for _ in range(3):
        await enact(stage, writers, dice)
        for writer in writers:
            await writer.end(commit=dice.random() < 0.7)
        await stage.settle()
        for session, rows_of in viewers:
            told = stage.told(session, "dashboard-stats")
            if told:
                assert_same(told[-1], await expected_dashboard(app, rows_of))
            else:
                # Nothing was sent, because it is what was sent before: somebody who comes now is told the same.
                late = stage.join(*map(str, rows_of))
                await stage.settle()
                (told_late,) = stage.told(late, "dashboard-stats")
                assert_same(told_late, await expected_dashboard(app, rows_of))
        costs = stage.told(admin, "cost-analytics")
        if costs:
            assert summary(costs[-1]) == json.loads(await app.fetchval(COSTS))
        for body in stage.told(another, "connector-stats")[-1:]:
            assert body == await expected_connectors(app, body["since"])
    assert sum(sum(writer.done.values()) for writer in writers) > STEPS
    if tame:
        # All of it came from the first aggregate of each and the events since.
        followed = {topic: count for topic, count in stage.statistics.aggregates.items() if topic != "connector-stats"}
        assert followed == {"dashboard-stats": 3, "cost-analytics": 1, "system-metrics": 0}
    await other.close()


async def test_running_numbers_and_a_new_aggregate_never_differ(stage: Stage, app: asyncpg.Connection) -> None:
    """The same, with the comparison that the product makes itself: it counts drift, and there is none."""
    dice = random.Random("drift")
    owners = [uuid4() for _ in range(3)]
    await app.executemany("insert into workflow (owner_id, name) values ($1, 'theirs')", [(owner,) for owner in owners])
    await stage.look()
    for owner in owners:
        stage.join(str(owner), admin=True, topics=frozenset({"dashboard-stats", "cost-analytics"}))
    checking = 0
    writers = [Writer(app, dice, owners)]
    for _ in range(4):
        await enact(stage, writers, dice)
        await stage.settle()
        # A comparison is due; what it is answered with is older or newer than what the log was read up to.
        stage.clock.now += 2e9
        while (job := stage.statistics.next_job()) is not None:
            await writers[0].step()
            await unlock(writers, dice)
            answer = await stage.answer(job)
            await writers[0].step()
            if dice.random() < 0.5:
                await stage.look()
            stage.statistics.finish(job, *answer)
            checking += len(job.ledgers)
            stage.clock.now += 2.0
        await stage.look()
    assert checking >= 12
    assert stage.statistics.drift == dict.fromkeys(stage.statistics.topics, 0)
