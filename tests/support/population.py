"""What the writers write to: each owner's workflows, executions and tasks, and the record of what was done to them.

A workflow may pass to another owner while it is written to (`pass_on`), and its executions with it. Guarantees: no
statement on one of its executions runs at that very moment, so that it is known whose the execution was when the statement
ran; transactions that have written to one and not ended yet are not waited for.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from tests.support.application import Connection
from tests.support.history import EXECUTIONS, TASKS, Fate, History


class Population:
    """The rows as far as the writers know; some may be gone by now."""

    def __init__(self, owners: Sequence[str]) -> None:
        self.history = History()
        self.owners = list(owners)
        self.marks = itertools.count(1)
        self.numbers = itertools.count(1)
        """Of transactions, in the order in which they begin."""
        self.owner_of: dict[str, str] = {}
        """A workflow's."""
        self.executions: list[tuple[str, str]] = []
        """Id and workflow."""
        self.tasks: list[str] = []
        self.first: dict[str, str] = {}
        """An execution of each owner that nobody deletes, in a workflow that never passes on."""
        self._staying: set[str] = set()
        self._running: Counter[str] = Counter()
        """Statements on the executions of a workflow."""
        self._passing: set[str] = set()

    async def settle(self, connection: Connection) -> None:
        """Two workflows for each owner, and the first rows."""
        fate = Fate()
        async with connection.transaction():
            for owner in self.owners:
                stays, passes = await self._add_workflow(connection, owner), await self._add_workflow(connection, owner)
                self._staying.add(stays)
                self.first[owner] = await self.insert_execution(connection, stays, fate) or ""
                await self.insert_execution(connection, passes, fate)
                for _ in range(3):
                    await self.insert_task(connection, self.first[owner], owner, fate)
        fate.decide("committed")

    async def _add_workflow(self, connection: Connection, owner: str) -> str:
        workflow = str(uuid4())
        await connection.execute(
            "insert into workflow (id, owner_id, name) values ($1::text::uuid, $2::text::uuid, 'written')",
            workflow,
            owner,
        )
        self.owner_of[workflow] = owner
        return workflow

    async def insert_task(self, connection: Connection, execution: str, owner: str, fate: Fate) -> str:
        """A new one. Returns its id."""
        mark = next(self.marks)
        task: str = await connection.fetchval(
            "insert into agent_task (execution_id, user_id, progress) values ($1::text::uuid, $2::text::uuid, $3)"
            " returning id::text",
            execution,
            owner,
            mark,
        )
        self.tasks.append(task)
        self.history.written((TASKS, task), owner, mark, fate)
        return task

    async def insert_execution(self, connection: Connection, workflow: str, fate: Fate) -> str | None:
        """A new one. Returns its id, or None where the workflow is just passing on."""
        with self._on(workflow) as still:
            if not still:
                return None
            mark = next(self.marks)
            execution: str = await connection.fetchval(
                "insert into workflow_execution (workflow_id, progress) values ($1::text::uuid, $2) returning id::text",
                workflow,
                mark,
            )
            self.executions.append((execution, workflow))
            self.history.written(
                (EXECUTIONS, execution), self.owner_of[workflow], mark, fate, below=self._below(workflow)
            )
        return execution

    async def update_execution(self, connection: Connection, execution: str, workflow: str, fate: Fate) -> int:
        """A new mark for it. Returns how many changes that was."""
        with self._on(workflow) as still:
            if not still:
                return 0
            mark = next(self.marks)
            done = await connection.execute(
                "update workflow_execution set progress = $2 where id = $1::text::uuid", execution, mark
            )
            if done == "UPDATE 0":
                return 0
            self.history.written(
                (EXECUTIONS, execution), self.owner_of[workflow], mark, fate, below=self._below(workflow)
            )
        return 1

    async def delete_execution(self, connection: Connection, execution: str, workflow: str, fate: Fate) -> int:
        """It goes, and takes its tasks along. Returns how many changes that was."""
        with self._on(workflow) as still:
            if not still or execution in self.first.values():
                return 0
            # Whoever was adding a task has ended when this lock is had; nobody adds one afterwards.
            if not await connection.fetchval(
                "select true from workflow_execution where id = $1::text::uuid for update", execution
            ):
                return 0
            tasks = await connection.fetch(
                "select id::text as id, user_id::text as owner from agent_task where execution_id = $1::text::uuid"
                " order by id for update",
                execution,
            )
            await connection.execute("delete from workflow_execution where id = $1::text::uuid", execution)
            self.history.gone((EXECUTIONS, execution), self.owner_of[workflow], fate)
        for task in tasks:
            self.history.gone((TASKS, task["id"]), task["owner"], fate)
        return 1 + len(tasks)

    async def pass_on(self, connection: Connection, workflow: str, to: str) -> bool:
        """The workflow becomes another's, and its executions with it. Returns whether nobody was in the way."""
        if self._running[workflow] or workflow in self._passing:
            return False
        old = self.owner_of[workflow]
        self._passing.add(workflow)
        try:
            racing = self.history.in_flight(workflow)
            await connection.execute(
                "update workflow set owner_id = $2::text::uuid where id = $1::text::uuid", workflow, to
            )
            self.owner_of[workflow] = to
            if to != old:
                self.history.passed(workflow, old, to, racing)
        finally:
            self._passing.discard(workflow)
        return True

    @property
    def passing_on(self) -> list[str]:
        """The workflows that may."""
        return [workflow for workflow in self.owner_of if workflow not in self._staying]

    def _below(self, workflow: str) -> str:
        return "" if workflow in self._staying else workflow

    @contextmanager
    def _on(self, workflow: str) -> Iterator[bool]:
        if workflow in self._passing:
            # Not waited for: whoever waits here may hold the lock that the other one wants.
            yield False
            return
        self._running[workflow] += 1
        try:
            yield True
        finally:
            self._running[workflow] -= 1
