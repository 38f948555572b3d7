"""REST: lists of rows, in pages. Complete, the asker's own alone, and in the shape of events."""

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lists import place_of, text_of
from changefeed import Owner
from changefeed.pages import PlaceError
from tests.support.database import Database
from tests.support.rest import LONGEST, Rest, served
from tests.support.tenant import Tenant

ANY_ID = "6f0d8a52-6c1e-4b57-9a39-2f6c1b1f2a10"


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[Rest]:
    async with served(database) as found:
        yield found


async def pages(client: httpx.AsyncClient, path: str, **more: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """The items, page by page."""
    after: dict[str, str] = {}
    while True:
        answer = await client.get(path, params={**more, **after})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        yield body["items"]
        if body["next"] is None:
            return
        after = {"after": body["next"]}


async def everything(client: httpx.AsyncClient, path: str, **more: Any) -> list[dict[str, Any]]:
    return [item async for page in pages(client, path, **more) for item in page]


async def test_every_row_comes_once_and_the_newest_first(rest: Rest, app: asyncpg.Connection) -> None:
    tenant = await Tenant.settle(app)
    execution = await tenant.begin()
    await app.execute(
        # Many at the same microsecond, so that the key must tell them apart.
        "insert into agent_task (execution_id, user_id, created_at)"
        " select $1::text::uuid, $2, '2026-01-01'::timestamptz + (n / 10) * interval '1 microsecond'"
        " from generate_series(1, 73) as n",
        execution, tenant.id,
    )  # fmt: skip
    client = await rest.client(tenant.id)
    expected = await app.fetch("select id::text from agent_task order by created_at desc, id desc")
    for limit in (1, 7, 73, 200):
        items = await everything(client, "agent-tasks", limit=limit)
        assert [item["task_id"] for item in items] == [row["id"] for row in expected]


async def test_executions_that_have_not_started_are_the_newest(rest: Rest, app: asyncpg.Connection) -> None:
    tenant = await Tenant.settle(app)
    insert = "insert into workflow_execution (workflow_id, started_at) values ($1, $2::text::timestamptz)"
    for at in (None, "2026-01-02", None, "infinity", "2026-01-01", None, "-infinity"):
        await app.execute(insert, tenant.workflow, at)
    client = await rest.client(tenant.id)
    items = await everything(client, "executions", limit=2)
    assert [item["started_at"] for item in items] == [
        None, None, None, "infinity", "2026-01-02T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "-infinity",
    ]  # fmt: skip
    assert len({item["execution_id"] for item in items}) == 7


async def test_what_was_there_when_paging_began_is_complete_however_much_is_added_meanwhile(
    rest: Rest, app: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    insert = (
        "insert into workflow_execution (workflow_id, started_at)"
        " select $1, case when n % 3 = 0 then null else now() - n * interval '1 second' end"
        " from generate_series(1, $2) as n returning id::text"
    )
    there = {row["id"] for row in await app.fetch(insert, tenant.workflow, 50)}
    seen: list[str] = []
    async for page in pages(await rest.client(tenant.id), "executions", limit=6):
        seen += [item["execution_id"] for item in page]
        # Newer ones, older ones and ones without a time, and one that starts.
        await app.execute(insert, tenant.workflow, 4)
        await app.execute(
            "update workflow_execution set started_at = now() where id in"
            " (select id from workflow_execution where started_at is null and workflow_id = $1 limit 1)",
            tenant.workflow,
        )
    assert there <= set(seen)


async def test_nobody_elses_rows_are_in_it_wherever_it_begins(rest: Rest, app: asyncpg.Connection) -> None:
    mine, theirs = await Tenant.settle(app), await Tenant.settle(app)
    for who in (mine, theirs):
        for _ in range(5):
            await who.task(await who.begin("pending"))
    await app.execute("insert into agent_task (execution_id) select id from workflow_execution")
    client, other = await rest.client(mine.id), await rest.client(theirs.id)
    for path in ("executions", "agent-tasks"):
        own = {json.dumps(item) for item in await everything(client, path)}
        assert len(own) == 5
        places = [(await other.get(path, params={"limit": limit})).json()["next"] for limit in (1, 2, 3, 4)]
        places += [text_of([None, str(uuid4())]), text_of(["2100-01-01", str(uuid4())])]
        for place in places:
            answer = await client.get(path, params={"after": place})
            assert answer.status_code == 200
            assert {json.dumps(item) for item in answer.json()["items"]} <= own
    for stranger in (uuid4(), "nobody", "", "' or 1=1 --", str(mine.id).upper()):
        if stranger:
            assert await everything(await rest.client(stranger), "executions") == []


@pytest.mark.parametrize(
    "place",
    [
        "", "x", "%", "é", "W10", text_of([]), text_of(["2026-01-01"]), text_of([None, None]), text_of(["2026-01-01", "x"]),
        text_of(["now then", ANY_ID]), text_of(["2026-01-01", ANY_ID, "more"]), text_of(["a\0b", ANY_ID]),
        urlsafe_b64encode(b'{"a": 1}').decode(), urlsafe_b64encode(b"[1, 2]").decode(), urlsafe_b64encode(b"[" * 1000).decode(),
    ],
)  # fmt: skip
async def test_what_is_no_place_in_the_list_is_refused(rest: Rest, app: asyncpg.Connection, place: str) -> None:
    tenant = await Tenant.settle(app)
    await tenant.begin()
    answer = await (await rest.client(tenant.id)).get("executions", params={"after": place})
    assert (answer.status_code, answer.json()["code"]) == (400, "parameter-invalid")


@given(st.lists(st.none() | st.text(), max_size=5))
def test_a_place_and_its_text_are_the_same(place: list[str | None]) -> None:
    try:
        assert place_of(text_of(place)) == place
    except UnicodeEncodeError:
        assert any("\ud800" <= letter <= "\udfff" for text in place for letter in text or "")


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_places(text: str) -> None:
    with suppress(PlaceError):
        assert isinstance(place_of(text), list)


async def test_rows_are_found_by_what_they_are(rest: Rest, app: asyncpg.Connection) -> None:
    tenant = await Tenant.settle(app)
    first, second = await tenant.begin("running"), await tenant.begin("failed")
    await tenant.begin("completed")
    for execution, agent, kind in ((first, "planner", "plan"), (first, "writer", "write"), (second, "planner", "plan")):
        await app.execute(
            "insert into agent_task (execution_id, user_id, agent, task_type) values ($1::text::uuid, $2, $3, $4)",
            execution, tenant.id, agent, kind,
        )  # fmt: skip
    client = await rest.client(tenant.id)

    async def found(path: str, query: str) -> int:
        answer = await client.get(f"{path}?{query}")
        assert answer.status_code == 200, answer.text
        return len(answer.json()["items"])

    for query, count in {
        "status=running": 1, "status=running,failed": 2, "status=running&status=completed": 2, "status=nonsense": 0,
        "status=": 3, f"workflow_id={tenant.workflow}": 3, f"workflow_id={uuid4()}": 0, "workflow_id=x": 0,
        f"workflow_id={str(tenant.workflow).upper()}": 0, "status=%00": 0, "status=run'ning": 0,
        f"workflow_id={tenant.workflow}&status=failed": 1,
    }.items():  # fmt: skip
        assert await found("executions", query) == count, query
    for query, count in {
        f"execution_id={first}": 2, f"execution_id={first}&agent=planner": 1, f"execution_id={first},{second}": 3,
        "agent=planner": 2, "task_type=write": 1, "status=pending&agent=nobody": 0,
    }.items():  # fmt: skip
        assert await found("agent-tasks", query) == count, query
    items = [item async for page in pages(client, "agent-tasks", agent="planner", limit=1) for item in page]
    assert {item["execution_id"] for item in items} == {first, second}


async def test_an_item_is_what_its_event_says(rest: Rest, app: asyncpg.Connection) -> None:
    tenant = await Tenant.settle(app)
    client = await rest.client(tenant.id)
    owner = [Owner("user", str(tenant.id))]
    async with rest.service.feed.subscribe(owner, topics=frozenset({"executions", "agent-tasks"})) as subscription:
        assert await subscription.next(LONGEST)
        await app.execute("set timezone = 'UTC'")
        execution = await tenant.begin()
        await app.execute(
            "update workflow_execution set cost_usd = 1.50, started_at = '2026-01-02 03:04:05.678901', error_message = 'é\"'"
            " where id = $1::text::uuid",
            execution,
        )
        await tenant.task(execution)
        events: list[dict[str, Any]] = []
        while len(events) < 3:
            events += [json.loads(item.whole())["data"] for item in await subscription.next(LONGEST) or ()]
    (listed,) = (await client.get("executions")).json()["items"]
    assert listed == events[1]
    assert (listed["cost_usd"], listed["previous_status"]) == ("1.50", None)
    (listed,) = (await client.get("agent-tasks")).json()["items"]
    assert listed == events[2]


async def test_a_table_that_is_not_watched_is_not_listed(
    rest: Rest, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    await tenant.begin()
    client = await rest.client(tenant.id)
    for source in ("public.workflow", "public.agent_task", 'x"; drop table workflow; --'):
        answer = await client.get("executions", params={"source": source})
        assert (answer.status_code, answer.json()["code"]) == (404, "not-there")
        assert "public.workflow_execution" in answer.json()["detail"]
    await feed.execute("select changefeed.unwatch('workflow_execution')")
    answer = await client.get("executions")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-there")
    assert "changefeed.watch" in answer.json()["detail"]


async def test_keys_of_several_columns_and_tables_without_a_time_are_paged_too(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await app.execute('create table job (tenant int, "no" bigint, who text, status text, primary key (tenant, "no"))')
    await feed.execute("select changefeed.watch('job', 'who')")
    await app.execute(
        "insert into job select n % 3, n, case when n % 2 = 0 then 'me' else 'you' end from generate_series(1, 40) as n"
    )
    sources = {"public.job": {"kind": "agent-task", "columns": {"task_id": "no"}}}
    async with served(database, sources=sources) as rest:
        items = await everything(await rest.client("me"), "agent-tasks", limit=3)
        expected = await app.fetch(
            'select job."no"::text as no from job where who = \'me\' order by tenant desc, job."no" desc'
        )
        assert [item["task_id"] for item in items] == [row["no"] for row in expected]
