"""REST and the stream join without a gap: whoever reads, and subscribes from the answer's cursor, misses and repeats nothing.

The same is true of a host's own routes, whichever of the two dependencies they use, and of whatever else a route reads with.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.snapshot import STATEMENT, Place, Snapshot
from changefeed import Owner
from tests.support.database import Database
from tests.support.rest import HEADER, LONGEST, Rest, serving
from tests.support.tenant import Tenant

WRITERS = 4
CHANGES = 60
"""Of each writer."""
LAST = 1_000_000


ROWS = "select id::text as execution_id, progress from workflow_execution order by started_at, id"
ROUTES = ("executions", "through-ours", "through-asyncpg", "through-sqlalchemy", "through-another-driver")
"""The list that is ours, then the routes of a host's."""

Rows = list[dict[str, Any]]


def add_routes(app: FastAPI) -> None:
    """As a host has them: what they read is its own business."""

    @app.get("/api/v1/through-ours")
    async def ours(snapshot: Snapshot) -> Rows:
        return [dict(row) for row in await snapshot.connection.fetch(ROWS)]

    @app.get("/api/v1/through-asyncpg")
    async def through_asyncpg(place: Place, request: Request) -> Rows:
        connection = await asyncpg.connect(request.app.state.dsn)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                await place.of(connection)
                return [dict(row) for row in await connection.fetch(ROWS)]
        finally:
            await connection.close()

    @app.get("/api/v1/through-sqlalchemy")
    async def through_sqlalchemy(place: Place, request: Request) -> Rows:
        engine: AsyncEngine = request.app.state.engine
        async with engine.connect() as connection:
            await place.of(connection)
            return [dict(row) for row in (await connection.execute(text(ROWS))).mappings()]

    @app.get("/api/v1/through-another-driver")
    async def through_another_driver(place: Place, request: Request) -> Rows:
        engine: AsyncEngine = request.app.state.engine
        async with engine.connect() as connection:
            rows = [dict(row) for row in (await connection.execute(text(ROWS))).mappings()]
            # Also after the data: the transaction sees the same from its beginning to its end.
            place.told(*(await connection.execute(text(STATEMENT))).one())
            return rows


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[Rest]:
    engine = create_async_engine(
        database.app_dsn.replace("postgresql://", "postgresql+asyncpg://"), isolation_level="REPEATABLE READ"
    )
    async with serving(database.feed_dsn, add_routes) as found:
        found.app.state.dsn, found.app.state.engine = database.app_dsn, engine
        yield found
    await engine.dispose()


async def write(database: Database, rows: list[str], dice: random.Random) -> None:
    """Count up the progress of rows of one's own, in transactions of different lengths, so that some are always in flight."""
    connection = await asyncpg.connect(database.app_dsn)
    try:
        progress = dict.fromkeys(rows, 0)
        for _ in range(CHANGES):
            async with connection.transaction():
                for row in dice.sample(rows, dice.randint(1, len(rows))):
                    progress[row] += 1
                    await connection.execute(
                        "update workflow_execution set progress = $2 where id = $1::text::uuid", row, progress[row]
                    )
                    await asyncio.sleep(0)
        await connection.execute(
            "update workflow_execution set progress = $2 where id = any ($1::text[]::uuid[])", rows, LAST
        )
    finally:
        await connection.close()


async def join(rest: Rest, tenant: Tenant, path: str) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Read the list, then subscribe from its cursor, until every row is at its last. Returns the list, and what came."""
    answer = await (await rest.client(tenant.id)).get(path, params={"limit": 200})
    rows: Any = answer.json()
    listed = {row["execution_id"]: row["progress"] for row in (rows["items"] if path == "executions" else rows)}
    came: dict[str, list[int]] = {row: [] for row in listed}
    owner, topics = [Owner("user", str(tenant.id))], frozenset({"executions"})
    async with rest.service.feed.subscribe(owner, since=answer.headers[HEADER], topics=topics) as subscription:
        async with asyncio.timeout(LONGEST * 2):
            while any((came[row] or [listed[row]])[-1] != LAST for row in listed):
                for item in await subscription.next(LONGEST) or ():
                    message: dict[str, Any] = json.loads(item.whole())
                    if item.kind == "ready":
                        assert message["outcome"] in ("fresh", "replayed")
                    else:
                        came[message["data"]["execution_id"]].append(message["data"]["progress"])
    return listed, came


@pytest.mark.parametrize("path", ROUTES)
async def test_a_list_and_the_events_since_its_cursor_are_every_change_once(
    rest: Rest, database: Database, app: asyncpg.Connection, path: str
) -> None:
    tenant = await Tenant.settle(app)
    dice = random.Random(1)
    rows = [[await tenant.begin() for _ in range(3)] for _ in range(WRITERS)]
    await app.execute("update workflow_execution set progress = 0")
    async with asyncio.TaskGroup() as tasks:
        for own in rows:
            tasks.create_task(write(database, own, random.Random(dice.random())))
        readers = []
        for _ in range(8):
            readers.append(tasks.create_task(join(rest, tenant, path)))
            # Each begins at another moment of the writers' work: after some more of it.
            target = rest.service.feed.pulse.found + 40
            pulse = rest.service.feed.pulse
            await pulse.until(lambda target=target, pulse=pulse: pulse.found >= target, 1.0)  # type: ignore[misc]
    for reader in readers:
        listed, came = reader.result()
        assert len(listed) == 3 * WRITERS
        for row, progress in listed.items():
            # Counted up by one each time: a change that is missing or comes twice leaves its trace.
            steps = came[row][:-1] if came[row] else []
            assert steps == list(range(progress + 1, progress + 1 + len(steps))), (row, progress, came[row])
    assert len({tuple(reader.result()[0].values()) for reader in readers}) > 2, "the readers began at different moments"


async def test_a_transaction_that_is_in_flight_while_the_answer_is_read_comes_afterwards(
    rest: Rest, app: asyncpg.Connection, database: Database
) -> None:
    tenant = await Tenant.settle(app)
    early, late = await tenant.begin("pending"), await tenant.begin("pending")
    slow = await asyncpg.connect(database.app_dsn)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("update workflow_execution set status = 'running' where id = $1::text::uuid", early)
    await tenant.turn(late, "running")
    client = await rest.client(tenant.id)
    answers = {path: await client.get(path) for path in ("stats/dashboard", *ROUTES)}
    await transaction.commit()
    await slow.close()
    assert answers["stats/dashboard"].json()["executions"]["by_status"] == {"pending": 1, "running": 1}
    for answer in answers.values():
        owner, topics = [Owner("user", str(tenant.id))], frozenset({"executions"})
        async with rest.service.feed.subscribe(owner, since=answer.headers[HEADER], topics=topics) as subscription:
            items = [json.loads(item.whole()) for item in await subscription.next(LONGEST) or ()]
            # What the answer had already is not repeated.
            assert [item["data"]["execution_id"] for item in items[1:]] == [early]
