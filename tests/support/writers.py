"""Writers: applications that write at the same time, at random, and record what they committed.

    async with Writers(database.app_dsn, owners, seed=1) as writers:
        await writers.run(8, transactions=200)
        await writers.finish()
    verify(writers.history, viewers)

Plain SQL on the host's tables, by the application's own role: inserts, updates, updates that change nothing, deletes, rows
that pass to another owner, cascades; in transactions of several statements, with savepoints that are undone, under
REPEATABLE READ now and then, and rolled back now and then. Guarantees: the history is complete, in each row's order, and
says of a commit that was not answered that nobody knows. The same seed makes the same choices.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import asyncpg

from tests.support.application import LOST, Connection, fetch, insisting
from tests.support.habits import ONE_UPDATE, USUAL, Habits
from tests.support.oracle import EXECUTIONS, LAST, TASKS, Fate, History

REFUSED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError)
"""What an application has to expect from others that write at the same time."""


Pause = Callable[[random.Random], Awaitable[None]]


async def no_pause(_chance: random.Random) -> None:
    """Goes on at once."""


class Writers:
    """See above. A context manager: inside, each owner has a workflow, and rows to write to."""

    def __init__(
        self, dsn: str, owners: Sequence[UUID], *, seed: int = 0, habits: Habits = USUAL, pause: Pause = no_pause
    ) -> None:
        """`pause`: awaited between transactions, and inside those that are held open."""
        self.history = History()
        self.owners = [str(owner) for owner in owners]
        self._dsn = dsn
        self._habits = habits
        self._pause = pause
        self._chance = random.Random(seed)
        self._marks = itertools.count(1)
        self._workflows: dict[str, UUID] = {}
        self._executions: list[tuple[str, str]] = []
        """Id and owner; some may be gone by now."""
        self._tasks: list[str] = []
        self._first: dict[str, str] = {}
        """An execution of each owner that nobody deletes."""

    async def __aenter__(self) -> Self:
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction():
                fate = Fate()
                for owner in self.owners:
                    self._workflows[owner] = uuid4()
                    await connection.execute(
                        "insert into workflow (id, owner_id, name) values ($1, $2::text::uuid, 'written')",
                        self._workflows[owner],
                        owner,
                    )
                    self._first[owner] = await self._insert_execution(connection, owner, fate)
                    for _ in range(3):
                        await self._insert_task(connection, self._first[owner], owner, fate)
            fate.decide("committed")
        finally:
            await connection.close()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open between two runs."""

    async def run(self, writers: int, transactions: int) -> None:
        """So many at a time, each with so many transactions, whatever becomes of them."""
        seeds = [self._chance.random() for _ in range(writers)]
        async with asyncio.TaskGroup() as group:
            for seed in seeds:
                group.create_task(self._write(random.Random(seed), transactions))

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
                self._first[owner],
                owner,
                LAST,
            )
            fate.decide("committed")

    async def _write(self, chance: random.Random, transactions: int) -> None:
        left = transactions

        async def go_on(connection: Connection) -> None:
            nonlocal left
            while left:
                left -= 1
                await self._transaction(connection, chance)
                await self._pause(chance)

        await insisting(self._dsn, go_on)

    async def _transaction(self, connection: Connection, chance: random.Random) -> None:
        habits = self._habits
        fate = Fate()
        strict = chance.random() < habits.repeatable_read
        transaction = connection.transaction(isolation="repeatable_read" if strict else None)
        noted = False
        await transaction.start()
        try:
            # In order, so that two writers do not often wait for each other's rows.
            for task in sorted(chance.choices(self._tasks, k=chance.randint(1, habits.statements))):
                if chance.random() < habits.savepoint:
                    noted |= await self._tentatively(connection, chance, task, fate)
                else:
                    noted |= await self._change(connection, chance, task, fate)
            if chance.random() < habits.execution:
                noted |= await self._update_execution(connection, *chance.choice(self._executions), fate)
            if chance.random() < habits.cascade and not strict:
                noted |= await self._delete_execution(connection, *chance.choice(self._executions), fate)
            if chance.random() < habits.hold:
                await self._pause(chance)
        except REFUSED:
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
        except REFUSED:
            fate.decide("undone")
            return
        fate.decide("committed")
        self.history.transactions += noted

    async def _tentatively(self, connection: Connection, chance: random.Random, task: str, fate: Fate) -> bool:
        part = Fate(fate)
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            noted = await self._change(connection, chance, task, part)
        except REFUSED:
            part.decide("undone")
            await savepoint.rollback()
            raise
        if chance.random() < 0.5:
            part.decide("undone")
            await savepoint.rollback()
            return False
        await savepoint.commit()
        return noted

    async def _change(self, connection: Connection, chance: random.Random, task: str, fate: Fate) -> bool:
        """One statement, on this task or on a new row. Returns whether something was noted."""
        habits, history = self._habits, self.history
        what = chance.random()
        if what < (bound := habits.insert):
            owner = chance.choice(self.owners)
            if chance.random() < 0.2:
                await self._insert_execution(connection, owner, fate)
            else:
                await self._insert_task(connection, chance.choice(self._executions)[0], owner, fate)
            return True
        owner = await connection.fetchval(
            "select user_id::text from agent_task where id = $1::text::uuid for update", task
        )
        if owner is None:
            return False
        row = (TASKS, task)
        if what < (bound := bound + habits.delete):
            await connection.execute("delete from agent_task where id = $1::text::uuid", task)
            history.gone(row, owner, fate)
        elif what < (bound := bound + habits.handover):
            to, mark = chance.choice(self.owners), next(self._marks)
            await connection.execute(
                "update agent_task set user_id = $2::text::uuid, progress = $3 where id = $1::text::uuid",
                task,
                to,
                mark,
            )
            if to != owner:
                history.gone(row, owner, fate)
            history.written(row, to, mark, fate)
        elif what < bound + habits.idle:
            await connection.execute("update agent_task set progress = progress where id = $1::text::uuid", task)
            return False
        else:
            mark = next(self._marks)
            await connection.execute("update agent_task set progress = $2 where id = $1::text::uuid", task, mark)
            history.written(row, owner, mark, fate)
        return True

    async def _insert_task(self, connection: Connection, execution: str, owner: str, fate: Fate) -> None:
        mark = next(self._marks)
        task: str = await connection.fetchval(
            "insert into agent_task (execution_id, user_id, progress) values ($1::text::uuid, $2::text::uuid, $3)"
            " returning id::text",
            execution,
            owner,
            mark,
        )
        self._tasks.append(task)
        self.history.written((TASKS, task), owner, mark, fate)

    async def _insert_execution(self, connection: Connection, owner: str, fate: Fate) -> str:
        mark = next(self._marks)
        execution: str = await connection.fetchval(
            "insert into workflow_execution (workflow_id, progress) values ($1, $2) returning id::text",
            self._workflows[owner],
            mark,
        )
        self._executions.append((execution, owner))
        self.history.written((EXECUTIONS, execution), owner, mark, fate)
        return execution

    async def _update_execution(self, connection: Connection, execution: str, owner: str, fate: Fate) -> bool:
        mark = next(self._marks)
        done = await connection.execute(
            "update workflow_execution set progress = $2 where id = $1::text::uuid", execution, mark
        )
        if done == "UPDATE 0":
            return False
        self.history.written((EXECUTIONS, execution), owner, mark, fate)
        return True

    async def _delete_execution(self, connection: Connection, execution: str, owner: str, fate: Fate) -> bool:
        if execution in self._first.values():
            return False
        # Whoever was adding a task has ended when this lock is had; nobody adds one afterwards.
        if not await connection.fetchval(
            "select true from workflow_execution where id = $1::text::uuid for update", execution
        ):
            return False
        tasks = await connection.fetch(
            "select id::text as id, user_id::text as owner from agent_task where execution_id = $1::text::uuid"
            " order by id for update",
            execution,
        )
        await connection.execute("delete from workflow_execution where id = $1::text::uuid", execution)
        self.history.gone((EXECUTIONS, execution), owner, fate)
        for task in tasks:
            self.history.gone((TASKS, task["id"]), task["owner"], fate)
        return True


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
