"""REST and the stream join without a gap: whoever reads, and subscribes from the answer's cursor, misses and repeats nothing."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from changefeed import Owner
from tests.support.database import Database
from tests.support.rest import HEADER, LONGEST, Rest, served
from tests.support.tenant import Tenant

WRITERS = 4
CHANGES = 60
"""Of each writer."""
LAST = 1_000_000


@pytest.fixture
async def rest(database: Database) -> AsyncIterator[Rest]:
    async with served(database) as found:
        yield found


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


async def join(rest: Rest, tenant: Tenant) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Read the list, then subscribe from its cursor, until every row is at its last. Returns the list, and what came."""
    answer = await (await rest.client(tenant.id)).get("executions", params={"limit": 200})
    listed = {item["execution_id"]: item["progress"] for item in answer.json()["items"]}
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


async def test_a_list_and_the_events_since_its_cursor_are_every_change_once(
    rest: Rest, database: Database, app: asyncpg.Connection
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
            readers.append(tasks.create_task(join(rest, tenant)))
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
    answers = {path: await client.get(path) for path in ("stats/dashboard", "executions")}
    await transaction.commit()
    await slow.close()
    assert answers["stats/dashboard"].json()["executions"]["by_status"] == {"pending": 1, "running": 1}
    for answer in answers.values():
        owner, topics = [Owner("user", str(tenant.id))], frozenset({"executions"})
        async with rest.service.feed.subscribe(owner, since=answer.headers[HEADER], topics=topics) as subscription:
            items = [json.loads(item.whole()) for item in await subscription.next(LONGEST) or ()]
            # What the answer had already is not repeated.
            assert [item["data"]["execution_id"] for item in items[1:]] == [early]
