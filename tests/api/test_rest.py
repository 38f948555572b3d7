"""REST: the statistics, who may ask for them, and what an answer brings along."""

import json
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from api.router import create_router
from api.service import Service
from changefeed import Owner, Settings
from changefeed.cursor import Cursor
from changefeed.subscription import Subscription
from tests.support.database import Database
from tests.support.issuer import SECRET
from tests.support.rest import HEADER, LONGEST, served, serving
from tests.support.tenant import Tenant

EVERYBODYS = ("stats/dashboard", "executions", "agent-tasks")
ADMINS = ("admin/system-metrics", "admin/costs", "admin/connectors")


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["title"]
    assert body["detail"]
    assert HEADER not in answer.headers
    return body


async def newest(subscription: Subscription, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        for item in await subscription.next(LONGEST) or ():
            if item.kind == kind:
                data: dict[str, Any] = json.loads(item.whole())["data"]
                return data


@pytest.mark.parametrize("path", [*EVERYBODYS, *ADMINS])
async def test_nobody_is_answered_without_a_token(database: Database, path: str) -> None:
    async with served(database) as rest:
        answer = await (await rest.anonymous()).get(path)
        assert_problem(answer, 401, "token-missing")
        assert answer.headers["www-authenticate"] == "Bearer"
        answer = await (await rest.anonymous({"Authorization": "Bearer a.b.c"})).get(path)
        assert_problem(answer, 401, "token-malformed")


@pytest.mark.parametrize("path", ADMINS)
async def test_what_is_for_administrators_is_refused_to_others_before_anything_is_read(
    database: Database, path: str
) -> None:
    async with served(database) as rest:
        assert_problem(await (await rest.client(uuid4())).get(path), 403, "admin-only")
        assert rest.service.feed.vitals.readings == 0
        answer = await (await rest.client(uuid4(), role="admin")).get(path)
        assert answer.status_code == 200
        Cursor.parse(answer.headers[HEADER])


async def test_the_numbers_are_those_that_are_pushed(database: Database, app: asyncpg.Connection) -> None:
    tenant, other = await Tenant.settle(app), await Tenant.settle(app)
    for who in (tenant, other):
        execution = await who.begin()
        await who.task(execution)
        await app.execute(
            "update workflow_execution set cost_usd = 0.30, started_at = now() where id = $1::text::uuid", execution
        )
        await who.turn(execution, "completed")
    async with served(database, system_metrics_interval=3600) as rest:
        client, admin = await rest.client(tenant.id), await rest.client(uuid4(), role="admin")
        owner = [Owner("user", str(tenant.id))]
        paths = {
            "dashboard-stats-update": (client, "stats/dashboard"),
            "cost-analytics-update": (admin, "admin/costs"),
            "connector-stats-update": (admin, "admin/connectors"),
            "system-metrics-update": (admin, "admin/system-metrics"),
        }
        for kind, (asker, path) in paths.items():
            topic = frozenset({kind.removesuffix("-update")})
            async with rest.service.feed.subscribe(owner, admin=True, topics=topic) as subscription:
                pushed, answer = await newest(subscription, kind), (await asker.get(path)).json()
                if kind == "connector-stats-update":
                    # A minute may have begun in between.
                    assert pushed.pop("since") <= answer.pop("since")
                assert pushed == answer
        assert rest.service.feed.vitals.readings == 1
        async with rest.service.feed.subscribe(owner, topics=frozenset({"dashboard-stats"})) as subscription:
            await newest(subscription, "dashboard-stats-update")
            execution = await tenant.begin("failed")
            pushed = await newest(subscription, "dashboard-stats-update")
            assert pushed == (await client.get("stats/dashboard")).json()
            assert pushed["executions"]["by_status"] == {"completed": 1, "failed": 1}
            assert pushed["executions"]["success_rate"] == 0.5


async def test_a_team_sees_its_members_and_its_own_rows_each_once(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    await tenant.task(await tenant.begin())
    await app.execute("create table shared (id int primary key, team text, status text)")
    await feed.execute("select changefeed.watch('shared', 'team', owner_kind => 'org')")
    await app.execute("insert into shared values (1, 'blue', 'running'), (2, 'red', 'running')")
    settings = {
        "owner_claims": {"sub": "user", "org_id": "org"},
        "sources": {
            "public.workflow_execution": {"kind": "execution"},
            "public.agent_task": {"kind": "agent-task"},
            "public.shared": {"kind": "execution"},
        },
    }
    async with served(database, **settings) as rest:
        client = await rest.client(tenant.id, org_id=["blue", "green"])
        body = (await client.get("stats/dashboard")).json()
        assert (body["executions"]["total"], body["agent_tasks"]["total"]) == (2, 1)
        teams = (await client.get("executions", params={"source": "public.shared"})).json()
        assert [item["execution_id"] for item in teams["items"]] == ["1"]
        body = (await (await rest.client("blue")).get("stats/dashboard")).json()
        assert body["executions"]["total"] == 0, "a user by the name of a team is not the team"


async def test_an_answer_that_is_known_costs_no_body_and_still_brings_the_cursor(
    database: Database, app: asyncpg.Connection
) -> None:
    tenant, other = await Tenant.settle(app), await Tenant.settle(app)
    async with served(database) as rest:
        client = await rest.client(tenant.id)
        first = await client.get("stats/dashboard")
        await other.begin()
        known = {"If-None-Match": f'"other", {first.headers["etag"]}'}
        again = await client.get("stats/dashboard", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers[HEADER] != first.headers[HEADER]
        assert again.headers["cache-control"] == "private, no-cache"
        assert again.headers["vary"] == "Authorization"
        await tenant.begin()
        changed = await client.get("stats/dashboard", headers=known)
        assert changed.status_code == 200
        assert changed.headers["etag"] != first.headers["etag"]


async def test_connectors_that_are_not_there_are_said_to_be_so(database: Database, app: asyncpg.Connection) -> None:
    async with served(database, connectors=None) as rest:
        answer = await (await rest.client("a", role="admin")).get("admin/connectors")
        assert "CHANGEFEED_CONNECTORS" in assert_problem(answer, 404, "not-there")["detail"]
        assert "connector-stats" not in rest.service.feed.statistics.topics
    await app.execute("drop table connector cascade")
    async with served(database) as rest:
        answer = await (await rest.client("a", role="admin")).get("admin/connectors")
        assert "connector" in assert_problem(answer, 404, "not-there")["detail"]


async def test_a_column_that_came_went_or_changed_since_is_no_error(
    database: Database, app: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    await tenant.task(await tenant.begin())
    async with served(database) as rest:
        client, admin = await rest.client(tenant.id), await rest.client("a", role="admin")

        async def statuses() -> list[int]:
            paths = [(client, path) for path in EVERYBODYS] + [(admin, "admin/costs")]
            return [(await asker.get(path)).status_code for asker, path in paths]

        assert await statuses() == [200] * 4
        await app.execute("alter table agent_task drop column tokens")
        await app.execute("alter table workflow_execution alter column cost_usd type text")
        assert await statuses() == [200] * 4
        body = (await client.get("stats/dashboard")).json()
        assert (body["agent_tasks"]["tokens"], body["executions"]["cost_usd"]) == (0, "0")
        assert (await client.get("agent-tasks")).json()["items"][0]["tokens"] is None


async def test_without_a_database_the_answer_is_a_problem_that_says_to_come_back() -> None:
    async with serving("postgresql://nobody@127.0.0.1:1/nothing", live=False, ready_timeout=0.1) as rest:
        for path in EVERYBODYS:
            answer = await (await rest.client("a")).get(path)
            assert_problem(answer, 503, "internal")
            assert answer.headers["retry-after"]


async def test_without_the_schema_the_answer_is_a_problem(host_database: Database) -> None:
    async with serving(host_database.feed_dsn, live=False) as rest:
        assert_problem(await (await rest.client("a")).get("stats/dashboard"), 503, "internal")


async def test_the_first_answer_of_a_process_waits_for_its_place_in_the_log(database: Database) -> None:
    async with serving(database.feed_dsn, live=False) as rest:
        answer = await (await rest.client("a")).get("stats/dashboard")
        assert Cursor.parse(answer.headers[HEADER]).epoch == rest.service.feed.hub.cursor.epoch  # type: ignore[union-attr]


async def test_while_the_relay_is_down_polling_works(database: Database, admin: asyncpg.Connection) -> None:
    async with served(database) as rest:
        client = await rest.client("a")
        assert (await client.get("stats/dashboard")).status_code == 200
        pulse = rest.service.feed.pulse
        # A schema that the relay's look does not know, and REST has no need of.
        await admin.execute("alter table changefeed.state rename column kicks to hidden")
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'changefeed listener'"
        )
        assert await pulse.until(lambda: not pulse.connected, LONGEST)
        answer = await client.get("stats/dashboard")
        assert answer.status_code == 200
        Cursor.parse(answer.headers[HEADER])


async def test_groups_of_routes_can_be_left_out(database: Database) -> None:
    app = FastAPI()
    service = Service(Settings(dsn=database.feed_dsn, jwt_secret=SECRET))
    app.include_router(create_router(service=service, routes=["rest"], prefix="/live"))
    assert set(app.openapi()["paths"]) == {f"/live/api/v1/{path}" for path in EVERYBODYS}


async def test_numbers_that_cannot_be_counted_as_parameters_are_problems_too(database: Database) -> None:
    async with served(database) as rest:
        client = await rest.client("a")
        for query in ("limit=0", "limit=201", "limit=x", "after=" + "x" * 2001):
            body = assert_problem(await client.get(f"executions?{query}"), 400, "parameter-invalid")
            assert query.split("=")[0] in body["detail"]
            assert "x" * 2001 not in body["detail"], "nothing that was sent is repeated"
