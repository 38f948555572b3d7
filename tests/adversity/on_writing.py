"""What is no fault but worse: transactions that are long, late, large, or change what everything else depends on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import asyncpg

from tests.adversity.amounts import FEW, SOME
from tests.adversity.stage import Scene
from tests.support.application import Connection
from tests.support.held import held
from tests.support.history import TASKS, Fate
from tests.support.subscribers import TRANSPORTS

AT_A_TIME = 6
PASSES = 6
CLIENTS = len(TRANSPORTS)
"""Of each owner."""


async def nothing(scene: Scene) -> None:
    """For comparison."""
    await scene.until_arrived(SOME)


@asynccontextmanager
async def open_all_the_time(scene: Scene) -> AsyncIterator[None]:
    """A transaction that wrote before everybody else, and commits when all of them are done."""
    async with held(scene.writing.population, scene.database.app_dsn) as transaction:
        yield
        await transaction.commit()


async def commits_out_of_order(scene: Scene) -> None:
    """Transactions that began one after the other, and commit the last one first, with others' in between."""
    async with AsyncExitStack() as stack:
        transactions = []
        for _ in range(AT_A_TIME):
            transactions.append(await stack.enter_async_context(held(scene.writing.population, scene.database.app_dsn)))
            await scene.until_arrived(FEW)
        for transaction in reversed(transactions):
            await transaction.commit()
            await scene.until_arrived(FEW)


async def bulk_statement(scene: Scene) -> None:
    """One statement over many rows, the owners' own among a crowd's: too many to be captured one by one."""
    before = scene.resyncs("bulk")
    people = scene.writing.population
    connection = await asyncpg.connect(scene.database.app_dsn)
    try:
        crowd = await _crowd(connection, people.first[people.owners[0]], scene.bulk)
        number, fate = next(people.numbers), Fate()
        async with connection.transaction():
            # In the order of their ids, which are random: the owners' own among the crowd's.
            rows = await connection.fetch(
                "select id::text as id, user_id::text as owner from agent_task where user_id = any ($1::text[]::uuid[])"
                " order by id for update",
                [*people.owners, crowd],
            )
            marks = [next(people.marks) for _ in rows]
            await connection.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
            await connection.execute(
                "update agent_task t set progress = n.mark"
                " from unnest($1::text[]::uuid[], $2::int[]) as n (id, mark) where n.id = t.id",
                [row["id"] for row in rows],
                marks,
            )
            mine = [(row, mark) for row, mark in zip(rows, marks, strict=True) if row["owner"] != crowd]
            for row, mark in mine:
                people.history.written((TASKS, row["id"]), row["owner"], mark, fate)
        fate.decide("committed")
        people.history.ended(number, len(mine))
        await scene.until(lambda: scene.resyncs("bulk") >= before + len(scene.viewers))
        async with connection.transaction():
            await connection.execute("set local changefeed.skip = on")
            await connection.execute("delete from agent_task where user_id = $1::text::uuid", crowd)
    finally:
        connection.terminate()


async def _crowd(connection: Connection, execution: str, rows: int) -> str:
    """So many tasks of somebody who has no viewer. Returns who."""
    crowd = str(uuid4())
    async with connection.transaction():
        await connection.execute("set local changefeed.skip = on")
        await connection.execute(
            "insert into agent_task (execution_id, user_id) select $1::text::uuid, $2::text::uuid"
            " from generate_series(1, $3::int)",
            execution,
            crowd,
            rows,
        )
    return crowd


async def owners_change(scene: Scene) -> None:
    """Workflows pass from owner to owner, and their executions with them, while these are written to.

    Also by a transaction that has written to one, and commits when everybody has been told whose it is now.
    """
    people = scene.writing.population
    connection, late = await asyncpg.connect(scene.database.app_dsn), await asyncpg.connect(scene.database.app_dsn)
    try:
        for _ in range(PASSES):
            workflow = scene.chance.choice(people.passing_on)
            number, fate = next(people.numbers), Fate()
            async with late.transaction():
                added = await people.insert_execution(late, workflow, fate)
                assert added is not None
                await _pass_on(scene, connection, workflow)
            fate.decide("committed")
            people.history.ended(number, 1)
    finally:
        connection.terminate()
        late.terminate()
    await scene.until_arrived(FEW)


async def _pass_on(scene: Scene, connection: Connection, workflow: str) -> None:
    """Returns when everybody who had or has it was told."""
    people = scene.writing.population
    to = scene.chance.choice([owner for owner in people.owners if owner != people.owner_of[workflow]])
    told = scene.resyncs("owner") + 2 * CLIENTS
    while not await people.pass_on(connection, workflow, to):
        await scene.until_committed(FEW)
    # The former owner's clients and the new one's.
    await scene.until(lambda: scene.resyncs("owner") >= told)
