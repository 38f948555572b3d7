"""Writers: applications that write at the same time, at random, and record what they committed.

    async with Writers(database.app_dsn, owners, seed=1) as writers:
        await writers.run(8, transactions=200)
        await writers.finish()
    verify(writers.history, viewers)

Plain SQL on the host's tables, by the application's own role: inserts, updates, updates that change nothing, deletes, rows
that pass to another owner, cascades; in transactions of several statements, with savepoints that are undone, under
REPEATABLE READ now and then, and rolled back now and then; if they have the habit, in batches. Guarantees: the history is
complete, in each row's order, and says of a commit that was not answered that nobody knows. The same seed makes the same
choices.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import asyncpg

from tests.support.application import LOST, Connection, fetch, insisting
from tests.support.batches import batch
from tests.support.habits import ONE_UPDATE, USUAL, Habits
from tests.support.history import LAST, TASKS, Fate
from tests.support.population import Population

REFUSED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.InsufficientResourcesError,
)
"""What an application has to expect from others that write at the same time, and from a disk that is full."""


Pause = Callable[[random.Random], Awaitable[None]]


async def no_pause(_chance: random.Random) -> None:
    """Goes on at once."""


class Writers:
    """See above. A context manager: inside, each owner has workflows, and rows to write to."""

    def __init__(
        self, dsn: str, owners: Sequence[UUID], *, seed: int = 0, habits: Habits = USUAL, pause: Pause = no_pause
    ) -> None:
        """`pause`: awaited between transactions, and inside those that are held open."""
        self.population = Population([str(owner) for owner in owners])
        self.history = self.population.history
        self.owners = self.population.owners
        self.refused: Counter[str] = Counter()
        """Transactions that the server did not take, by its error's name."""
        self._dsn = dsn
        self._habits = habits
        self._pause = pause
        self._chance = random.Random(seed)

    async def __aenter__(self) -> Self:
        connection = await asyncpg.connect(self._dsn)
        try:
            await self.population.settle(connection)
        finally:
            await connection.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open between two runs."""

    async def run(self, writers: int, transactions: int) -> None:
        """So many at a time, each with so many transactions, whatever becomes of them."""
        done = Counter[int]()

        def enough(writer: int) -> bool:
            done[writer] += 1
            return done[writer] > transactions

        await self._at_a_time(writers, enough)

    async def run_until(self, writers: int, enough: Callable[[], bool]) -> None:
        """So many at a time, until it is enough."""
        await self._at_a_time(writers, lambda _: enough())

    async def _at_a_time(self, writers: int, enough: Callable[[int], bool]) -> None:
        seeds = [self._chance.random() for _ in range(writers)]
        async with asyncio.TaskGroup() as group:
            for writer, seed in enumerate(seeds):
                group.create_task(self._write(random.Random(seed), writer, enough))

    async def finish(self) -> None:
        """Each owner's last change. What a viewer has not seen when it comes, it never will."""
        await insisting(self._dsn, self._say_last)

    async def _say_last(self, connection: Connection) -> None:
        for owner in self.owners:
            # An id of ours, because the answer may be lost with the connection, and then it is said again.
            task, fate = str(uuid4()), Fate()
            self.history.written((TASKS, task), owner, LAST, fate)
            await connection.execute(
                "insert into agent_task (id, execution_id, user_id, progress)"
                " values ($1::text::uuid, $2::text::uuid, $3::text::uuid, $4)",
                task,
                self.population.first[owner],
                owner,
                LAST,
            )
            fate.decide("committed")

    async def _write(self, chance: random.Random, writer: int, enough: Callable[[int], bool]) -> None:
        async def go_on(connection: Connection) -> None:
            while not enough(writer):
                await self._transaction(connection, chance)
                await self._pause(chance)

        await insisting(self._dsn, go_on)

    async def _transaction(self, connection: Connection, chance: random.Random) -> None:
        habits = self._habits
        fate = Fate()
        strict = chance.random() < habits.repeatable_read
        transaction = connection.transaction(isolation="repeatable_read" if strict else None)
        number = next(self.population.numbers)
        await transaction.start()
        try:
            if chance.random() < habits.batch:
                changes = await batch(connection, chance, self.population, habits.rows, fate)
            else:
                changes = await self._some(connection, chance, fate, cascade=not strict)
            if chance.random() < habits.hold:
                await self._pause(chance)
        except REFUSED as refusal:
            self.refused[type(refusal).__name__] += 1
            fate.decide("undone")
            await transaction.rollback()
            return
        except BaseException:
            fate.decide("undone")
            raise
        if chance.random() < habits.rollback:
            fate.decide("undone")
            await transaction.rollback()
            return
        # Whoever loses the connection now does not know.
        fate.decide("unknown")
        try:
            await transaction.commit()
        except REFUSED as refusal:
            self.refused[type(refusal).__name__] += 1
            fate.decide("undone")
            return
        fate.decide("committed")
        self.history.ended(number, changes)

    async def _some(self, connection: Connection, chance: random.Random, fate: Fate, *, cascade: bool) -> int:
        """Statements of one row. Returns how many changes they were."""
        habits, people = self._habits, self.population
        changes = 0
        # In order, so that two writers do not often wait for each other's rows.
        for task in sorted(chance.choices(people.tasks, k=chance.randint(1, habits.statements))):
            if chance.random() < habits.savepoint:
                changes += await self._tentatively(connection, chance, task, fate)
            else:
                changes += await self._change(connection, chance, task, fate)
        if chance.random() < habits.execution:
            changes += await people.update_execution(connection, *chance.choice(people.executions), fate)
        if chance.random() < habits.cascade and cascade:
            changes += await people.delete_execution(connection, *chance.choice(people.executions), fate)
        return changes

    async def _tentatively(self, connection: Connection, chance: random.Random, task: str, fate: Fate) -> int:
        part = Fate(fate)
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            changes = await self._change(connection, chance, task, part)
        except REFUSED:
            part.decide("undone")
            await savepoint.rollback()
            raise
        if chance.random() < 0.5:
            part.decide("undone")
            await savepoint.rollback()
            return 0
        await savepoint.commit()
        return changes

    async def _change(self, connection: Connection, chance: random.Random, task: str, fate: Fate) -> int:
        """One statement, on this task or on a new row. Returns how many changes that was."""
        habits, history, people = self._habits, self.history, self.population
        what = chance.random()
        if what < (bound := habits.insert):
            if chance.random() < 0.2:
                workflow = chance.choice(list(people.owner_of))
                return int(await people.insert_execution(connection, workflow, fate) is not None)
            execution, _ = chance.choice(people.executions)
            await people.insert_task(connection, execution, chance.choice(self.owners), fate)
            return 1
        owner: str | None = await connection.fetchval(
            "select user_id::text from agent_task where id = $1::text::uuid for update", task
        )
        if owner is None:
            return 0
        row = (TASKS, task)
        if what < (bound := bound + habits.delete):
            await connection.execute("delete from agent_task where id = $1::text::uuid", task)
            history.gone(row, owner, fate)
        elif what < (bound := bound + habits.handover):
            to, mark = chance.choice(self.owners), next(people.marks)
            await connection.execute(
                "update agent_task set user_id = $2::text::uuid, progress = $3 where id = $1::text::uuid",
                task,
                to,
                mark,
            )
            if to != owner:
                history.gone(row, owner, fate)
            history.written(row, to, mark, fate)
            return 1 + (to != owner)
        elif what < bound + habits.idle:
            await connection.execute("update agent_task set progress = progress where id = $1::text::uuid", task)
            return 0
        else:
            mark = next(people.marks)
            await connection.execute("update agent_task set progress = $2 where id = $1::text::uuid", task, mark)
            history.written(row, owner, mark, fate)
        return 1


__all__ = [
    "LOST",
    "ONE_UPDATE",
    "REFUSED",
    "Connection",
    "Habits",
    "Pause",
    "Writers",
    "fetch",
    "insisting",
    "no_pause",
]
