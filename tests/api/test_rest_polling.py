"""Long polls and statistics: what is told to whoever comes must not end a wait, or a client would ask without end."""

import asyncio
from typing import Any

import asyncpg
import httpx

from tests.support.database import Database
from tests.support.rest import LONGEST, Rest, served
from tests.support.tenant import Tenant

STATISTIC = "dashboard-stats-update"


async def poll(client: httpx.AsyncClient, **parameters: Any) -> dict[str, Any]:
    answer = await client.get("changes", params=parameters, timeout=LONGEST)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def begun(rest: Rest, client: httpx.AsyncClient) -> str:
    """The place to begin at, when the numbers are already known to the process."""
    cursor: str = (await poll(client))["cursor"]
    while not rest.service.feed.statistics.told["dashboard-stats"]:
        cursor = (await poll(client, since=cursor, wait=0.05))["cursor"]
    return cursor


async def test_the_first_numbers_come_with_the_answer_and_do_not_end_the_wait(
    database: Database, app: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    async with served(database) as rest:
        client = await rest.client(tenant.id)
        cursor = await begun(rest, client)
        waiting = asyncio.create_task(poll(client, since=cursor, wait=LONGEST))
        told = rest.service.feed.statistics.told
        before = told["dashboard-stats"]
        pulse = rest.service.feed.pulse
        assert await pulse.until(lambda: told["dashboard-stats"] > before, LONGEST)
        execution = await tenant.begin()
        messages = (await waiting)["messages"]
        kinds = [message["type"] for message in messages]
        assert kinds[:2] == ["ready", STATISTIC]
        assert execution in {message["data"].get("execution_id") for message in messages}


async def test_numbers_that_change_while_somebody_waits_for_them_alone_end_the_wait(
    database: Database, app: asyncpg.Connection
) -> None:
    tenant = await Tenant.settle(app)
    async with served(database) as rest:
        client = await rest.client(tenant.id)
        cursor = await begun(rest, client)
        told = rest.service.feed.statistics.told
        before = told["dashboard-stats"]
        waiting = asyncio.create_task(poll(client, since=cursor, wait=LONGEST, topics="dashboard-stats"))
        pulse = rest.service.feed.pulse
        assert await pulse.until(lambda: told["dashboard-stats"] > before, LONGEST)
        await tenant.begin()
        messages = (await waiting)["messages"]
        assert messages[-1]["type"] == STATISTIC
        assert messages[-1]["data"]["executions"]["total"] == 1


async def test_without_a_place_to_come_from_the_answer_comes_at_once(database: Database) -> None:
    async with served(database) as rest:
        body = await poll(await rest.client("a"), wait=LONGEST)
        assert body["messages"][0]["type"] == "ready"
        assert body["cursor"]
