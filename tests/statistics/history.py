"""Histories: everything that an application can do to rows, at random and reproducibly, from two sessions at once.

Guarantees: each step is one of `WAYS`, chosen by the dice alone; a step that the other session's locks or the schema's
checks refuse undoes the session's transaction, as it would in an application.
"""

import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

STATUSES = ["pending", "running", "paused", "completed", "failed", "cancelled"]
OUTCOMES = ["success", "success", "error", "timeout"]
REFUSED = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
)
COSTS = [
    Decimal(0),
    Decimal("0.1"),
    Decimal("0.0300"),
    Decimal("12.345678901234567890123456789012"),
    Decimal("1e30"),
    None,
]
"""`None`: not a number, which Postgres' numeric can be."""
MOMENTS = [
    "null", "now()", "now() - interval '3 minutes'", "now() - interval '40 days'", "now() + interval '1 second'",
    "'infinity'", "'-infinity'", "'2026-03-29 01:30:00.000001+02'",
]  # fmt: skip
FAR = ["'12345-01-01'", "'0044-03-15 BC'"]
"""Moments that Python cannot say."""

Transaction = Any


class Writer:
    """One session of the application, in a transaction or not."""

    def __init__(
        self, connection: "asyncpg.Connection[Any]", dice: random.Random, owners: list[UUID], *, tame: bool = False
    ) -> None:
        """`tame`: only what events say in full, so that nothing need be asked of the tables again."""
        self._ways = [way for way in WAYS if not tame or way not in WILD]
        self._tame = tame
        self._connection = connection
        self._dice = dice
        self._owners = owners
        self._open: list[Transaction] = []
        self.exclusive = False
        """Whether nobody else could read a table at the moment."""
        self.done: dict[str, int] = {}
        """Steps that went well, by their name."""

    @property
    def busy(self) -> bool:
        return bool(self._open)

    async def step(self) -> None:
        """One statement, or the beginning or end of a transaction or savepoint."""
        way = self._dice.choices(self._ways, [WAYS[way][1] for way in self._ways])[0]
        try:
            await WAYS[way][0](self)
        except REFUSED:
            await self.end(commit=False)
        else:
            self.done[way] = self.done.get(way, 0) + 1

    async def end(self, *, commit: bool) -> None:
        """Whatever is open ends."""
        while self._open:
            transaction = self._open.pop()
            await (transaction.commit() if commit else transaction.rollback())
        self.exclusive = False

    async def begin(self) -> None:
        if len(self._open) < 3:
            isolation: Any = self._dice.choice(["read_committed", "read_committed", "repeatable_read"])
            transaction = self._connection.transaction(isolation=None if self._open else isolation)
            await transaction.start()
            self._open.append(transaction)
            if len(self._open) == 1:
                await self._connection.execute("set local lock_timeout = '30ms'")

    async def commit(self) -> None:
        if self._open:
            await self._open.pop().commit()
            self.exclusive = self.exclusive and self.busy

    async def rollback(self) -> None:
        if self._open:
            await self._open.pop().rollback()
            self.exclusive = self.exclusive and self.busy

    async def insert_execution(self) -> None:
        await self._run(
            f"insert into workflow_execution (workflow_id, status, cost_usd, started_at, completed_at, error_message)"
            f" select id, $1, $2, {self._moment()}, {self._moment()}, $3"
            " from workflow order by md5(id::text || $4) limit 1",
            self._dice.choice(STATUSES), self._cost(), self._text(), self._salt(),
        )  # fmt: skip

    async def update_execution(self) -> None:
        change = self._dice.choice(
            [
                "status = $1", "cost_usd = $2", "cost_usd = cost_usd + 0.01", "status = $1, cost_usd = $2",
                "progress = progress + 1", f"completed_at = {self._moment()}",
                f"started_at = {self._moment()}", "id = gen_random_uuid()",
                f"status = $1, completed_at = {self._moment()}", "output = '{}'",
            ]
        )  # fmt: skip
        # Both parameters are always there, so that every change has the same ones.
        await self._run(
            f"update workflow_execution set {change} where $1::text is not null and $2::numeric is not null"
            " and id in (select id from workflow_execution order by md5(id::text || $3) limit 1)",
            self._dice.choice(STATUSES), self._cost(), self._salt(),
        )  # fmt: skip

    async def move_execution(self) -> None:
        await self._run(
            "update workflow_execution set status = $1,"
            " workflow_id = (select id from workflow order by md5(id::text || $2) limit 1)"
            " where id in (select id from workflow_execution order by md5(id::text || $2) limit 1)",
            self._dice.choice(STATUSES), self._salt(),
        )  # fmt: skip

    async def delete_execution(self) -> None:
        await self._run(
            "delete from workflow_execution where id in (select id from workflow_execution order by md5(id::text || $1) limit 1)",
            self._salt(),
        )

    async def insert_workflow(self) -> None:
        await self._run(
            "insert into workflow (owner_id, name) values ($1, 'one more')", self._dice.choice(self._owners)
        )

    async def move_workflow(self) -> None:
        await self._run(
            "update workflow set owner_id = $1 where id in (select id from workflow order by md5(id::text || $2) limit 1)",
            self._dice.choice(self._owners), self._salt(),
        )  # fmt: skip

    async def delete_workflow(self) -> None:
        await self._run(
            "delete from workflow where id in (select id from workflow order by md5(id::text || $1) limit 1)"
            " and (select count(*) from workflow) > 2",
            self._salt(),
        )

    async def insert_task(self) -> None:
        await self._run(
            "insert into agent_task"
            " (execution_id, user_id, agent, task_type, status, cost_usd, tokens, error_message, created_at)"
            " select id, $1, $2, $3, $4, $5, $6, $7, now() - make_interval(days => $8::int) from workflow_execution"
            " order by md5(id::text || $9) limit 1",
            self._dice.choice([*self._owners, None]), self._dice.choice(["planner", "writer"]),
            self._dice.choice(["plan", "write"]), self._dice.choice(STATUSES), self._cost(), self._dice.randrange(5000),
            self._text(), self._dice.choice([0, 0, 3, 29, 30, 31]), self._salt(),
        )  # fmt: skip

    async def update_task(self) -> None:
        changes = [
            "status = $1",
            "tokens = tokens + 7",
            "cost_usd = $2",
            "agent = 'critic'",
            "created_at = created_at - interval '1 day'",
        ]
        if not self._tame:
            changes += ["user_id = $3", "user_id = null", "user_id = $3, status = $1"]
        change = self._dice.choice(changes)
        await self._run(
            f"update agent_task set {change} where $1::text is not null and $2::numeric is not null and $3::uuid is not null"
            " and id in (select id from agent_task order by md5(id::text || $4) limit 1)",
            self._dice.choice(STATUSES), self._cost(), self._dice.choice(self._owners), self._salt(),
        )  # fmt: skip

    async def delete_task(self) -> None:
        await self._run(
            "delete from agent_task where id in (select id from agent_task order by md5(id::text || $1) limit 1)",
            self._salt(),
        )

    async def insert_call(self) -> None:
        await self._run(
            "insert into connector_call (connector_id, user_id, status, latency_ms, created_at)"
            " select id, $1, $2, $3, now() - make_interval(mins => $4::int) from connector order by md5(id::text || $5) limit 1",
            self._dice.choice([*self._owners, None]), self._dice.choice(OUTCOMES), self._dice.randrange(400),
            self._dice.choice([0, 0, 0, 700, 1438, 1442, 5000]), self._salt(),
        )  # fmt: skip

    async def update_call(self) -> None:
        change = self._dice.choice(
            [
                "status = $1", "latency_ms = latency_ms + 40", "created_at = created_at - interval '1 day'",
                "connector_id = (select id from connector order by md5(id::text || $2) limit 1)", "user_id = null",
            ]
        )  # fmt: skip
        await self._run(
            f"update connector_call set {change} where $1::text is not null"
            " and id in (select id from connector_call order by md5(id::text || $2) limit 1)",
            self._dice.choice(OUTCOMES), self._salt(),
        )  # fmt: skip

    async def delete_call(self) -> None:
        await self._run(
            "delete from connector_call where id in (select id from connector_call order by md5(id::text || $1) limit 1)",
            self._salt(),
        )

    async def many(self) -> None:
        """So many rows at once that the capture says "refetch" where it is told to do so early."""
        await self._run(
            self._dice.choice(
                [
                    "update workflow_execution set cost_usd = cost_usd + 1",
                    "update agent_task set tokens = tokens + 1",
                    "insert into agent_task (execution_id, user_id) select e.id, w.owner_id from workflow_execution e"
                    " join workflow w on w.id = e.workflow_id",
                    "delete from agent_task where status = 'pending'",
                    "update connector_call set latency_ms = latency_ms + 1",
                ]
            )
        )

    async def truncate(self) -> None:
        await self._run(
            self._dice.choice(["truncate agent_task", "truncate connector_call", "truncate workflow_execution cascade"])
        )
        self.exclusive = self.busy

    async def _run(self, statement: str, *parameters: Any) -> None:
        if not self._open:
            await self._connection.execute("set lock_timeout = '30ms'")
        await self._connection.execute(statement, *parameters)

    def _moment(self) -> str:
        return f"({self._dice.choice(MOMENTS if self._tame else MOMENTS + FAR)})::timestamptz"

    def _cost(self) -> Decimal:
        cost = self._dice.choice(COSTS)
        return Decimal("NaN") if cost is None else cost

    def _text(self) -> str | None:
        """Sometimes so long that the event carries its key alone."""
        return self._dice.choice([None, None, "it failed", "" if self._tame else self._dice.randbytes(40_000).hex()])

    def _salt(self) -> str:
        return str(self._dice.random())


WAYS: dict[str, tuple[Callable[[Writer], Awaitable[None]], int]] = {
    "begin": (Writer.begin, 12),
    "commit": (Writer.commit, 12),
    "rollback": (Writer.rollback, 4),
    "insert execution": (Writer.insert_execution, 14),
    "update execution": (Writer.update_execution, 24),
    "move execution": (Writer.move_execution, 4),
    "delete execution": (Writer.delete_execution, 4),
    "insert workflow": (Writer.insert_workflow, 2),
    "move workflow": (Writer.move_workflow, 4),
    "delete workflow": (Writer.delete_workflow, 1),
    "insert task": (Writer.insert_task, 14),
    "update task": (Writer.update_task, 14),
    "delete task": (Writer.delete_task, 4),
    "insert call": (Writer.insert_call, 8),
    "update call": (Writer.update_call, 5),
    "delete call": (Writer.delete_call, 2),
    "many": (Writer.many, 2),
    "truncate": (Writer.truncate, 1),
}
WILD = {"move execution", "move workflow", "delete workflow", "many", "truncate"}
