"""Transactions that stay open, beside the writers: each has written to rows of its own when it begins.

async with held(writers.population, dsn) as transaction:
    ...
    await transaction.commit()
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.support.application import Connection
from tests.support.history import TASKS, Fate
from tests.support.population import Population

ROWS = 3
"""For each owner."""


class Held:
    """A transaction that has written a few rows of each owner, twice each."""

    def __init__(self, connection: Connection, people: Population) -> None:
        self._connection = connection
        self._people = people
        self._fate = Fate()
        self._transaction = connection.transaction()
        self._changes = 0
        self._number = next(people.numbers)

    async def begin(self) -> None:
        """Writes, and leaves it at that."""
        await self._transaction.start()
        people = self._people
        for owner in people.owners:
            for _ in range(ROWS):
                task = await people.insert_task(self._connection, people.first[owner], owner, self._fate)
                # Nobody else is to wait for it.
                people.tasks.remove(task)
                mark = next(people.marks)
                await self._connection.execute(
                    "update agent_task set progress = $2 where id = $1::text::uuid", task, mark
                )
                people.history.written((TASKS, task), owner, mark, self._fate)
                self._changes += 2

    async def commit(self) -> None:
        """Now all of it has happened."""
        self._fate.decide("unknown")
        await self._transaction.commit()
        self._fate.decide("committed")
        self._people.history.ended(self._number, self._changes)


@asynccontextmanager
async def held(people: Population, dsn: str) -> AsyncIterator[Held]:
    """A transaction that has begun, and is undone where it is not committed."""
    connection = await asyncpg.connect(dsn)
    try:
        transaction = Held(connection, people)
        await transaction.begin()
        yield transaction
    finally:
        connection.terminate()
