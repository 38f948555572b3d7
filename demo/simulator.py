"""The host application at work: plain SQL that moves executions, tasks and calls through their lives.

    DATABASE_URL=postgresql://app:...@127.0.0.1:5432/platform python -m demo.simulator --rate 5

Guarantees: about `rate` transactions a second; the tables stay small, because what is old is deleted; a
restarted database is found again. Nothing of the workflow `host.WORKFLOW` and of the execution
`host.EXECUTION` is ever touched: those are a person's to play with.

Assumes the application's role and schema (`host.sql`). Knows nothing of changefeed. Ends on SIGTERM or
SIGINT.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
from decimal import Decimal

import asyncpg

from demo.host import EXECUTION, WORKFLOW

_ACTIVE_EXECUTIONS = 10
_FINISHED_EXECUTIONS_KEPT = 300
_CALLS_KEPT = 2000
_LONGEST_RECONNECT_SECONDS = 2.0

# asyncpg says InternalClientError when the server dies between two of its own messages.
_LOST_CONNECTION = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

_NODES = ("fetch", "extract", "research", "draft", "review", "publish")
_TASKS = (("planner", "plan"), ("researcher", "research"), ("writer", "write"), ("critic", "review"))
_FAILURES = ("The model gave no usable answer", "A connector timed out", "The budget of this run is spent")


class Simulator:
    """Writes through one connection; every method is one transaction."""

    def __init__(self, connection: asyncpg.Connection, dice: random.Random) -> None:
        """Chance comes from `dice` alone."""
        self._connection = connection
        self._dice = dice

    async def step(self) -> None:
        """One change of some kind. Raises what asyncpg raises."""
        actions = (
            self.advance_execution,
            self.advance_task,
            self.call_connector,
            self.begin_execution,
            self.prune,
        )
        (action,) = self._dice.choices(actions, weights=(40, 38, 15, 5, 2))
        await action()

    async def begin_execution(self) -> None:
        """A new pending execution with its first tasks, unless enough are under way."""
        async with self._connection.transaction():
            execution = await self._connection.fetchrow(
                """
                insert into workflow_execution (workflow_id, input)
                select id, jsonb_build_object('batch', $3::int)
                from workflow
                where id <> $1 and (
                    select count(*) from workflow_execution
                    where status in ('pending', 'running', 'paused') and workflow_id <> $1
                ) < $2
                order by random()
                limit 1
                returning id, workflow_id
                """,
                WORKFLOW,
                _ACTIVE_EXECUTIONS,
                self._dice.randrange(1000),
            )
            if execution is None:
                return
            tasks = self._dice.sample(_TASKS, k=self._dice.randint(1, 3))
            await self._connection.executemany(
                """
                insert into agent_task (execution_id, user_id, agent, task_type)
                select $1, owner_id, $3, $4 from workflow where id = $2
                """,
                [(execution["id"], execution["workflow_id"], agent, kind) for agent, kind in tasks],
            )

    async def advance_execution(self) -> None:
        """The next moment in the life of one execution: begun, further, paused, resumed or at its end."""
        async with self._connection.transaction():
            execution = await self._connection.fetchrow(
                """
                select id, status, progress from workflow_execution
                where status in ('pending', 'running', 'paused') and id <> $1 and workflow_id <> $2
                order by random()
                limit 1
                for update skip locked
                """,
                EXECUTION,
                WORKFLOW,
            )
            if execution is None:
                return
            if execution["status"] != "running":
                await self._connection.execute(
                    """
                    update workflow_execution
                    set status = 'running', started_at = coalesce(started_at, now()), current_node = $2
                    where id = $1
                    """,
                    execution["id"],
                    _NODES[0],
                )
                return
            progress = min(100, execution["progress"] + self._dice.randint(4, 16))
            if progress == 100:
                await self._finish(execution["id"], "completed", None)
            elif self._dice.random() < 0.02:
                await self._finish(execution["id"], "failed", self._dice.choice(_FAILURES))
            elif self._dice.random() < 0.01:
                await self._finish(execution["id"], "cancelled", None)
            else:
                await self._connection.execute(
                    """
                    update workflow_execution
                    set progress = $2, current_node = $3, cost_usd = cost_usd + $4, status = $5
                    where id = $1
                    """,
                    execution["id"],
                    progress,
                    _NODES[progress * len(_NODES) // 101],
                    self._cost(),
                    "paused" if self._dice.random() < 0.03 else "running",
                )

    async def advance_task(self) -> None:
        """One task of a running execution gets further."""
        await self._connection.execute(
            """
            update agent_task
            set status = case when progress + $3 >= 100 then 'completed' else 'running' end,
                progress = least(100, progress + $3),
                tokens = tokens + $4,
                cost_usd = cost_usd + $5,
                updated_at = now()
            where id = (
                select agent_task.id
                from agent_task
                join workflow_execution on workflow_execution.id = agent_task.execution_id
                where agent_task.status in ('pending', 'running')
                    and workflow_execution.status = 'running'
                    and workflow_execution.id <> $1
                    and workflow_execution.workflow_id <> $2
                order by random()
                limit 1
                for update of agent_task skip locked
            )
            """,
            EXECUTION,
            WORKFLOW,
            self._dice.randint(8, 30),
            self._dice.randint(50, 900),
            self._cost(),
        )

    async def call_connector(self) -> None:
        """Some user's call of some connector, seldom a failed one."""
        (status,) = self._dice.choices(("success", "error", "timeout"), weights=(92, 6, 2))
        await self._connection.execute(
            """
            insert into connector_call (connector_id, user_id, status, latency_ms)
            select connector.id, app_user.id, $1, $2
            from connector cross join app_user
            where app_user.role = 'user'
            order by random()
            limit 1
            """,
            status,
            5000 if status == "timeout" else int(self._dice.lognormvariate(4.6, 0.6)),
        )

    async def prune(self) -> None:
        """Deletes the oldest of what has ended, beyond what is kept."""
        await self._connection.execute(
            """
            delete from workflow_execution
            where id in (
                select id from workflow_execution
                where status in ('completed', 'failed', 'cancelled') and id <> $1 and workflow_id <> $2
                order by completed_at desc nulls first
                offset $3
            )
            """,
            EXECUTION,
            WORKFLOW,
            _FINISHED_EXECUTIONS_KEPT,
        )
        await self._connection.execute(
            "delete from connector_call where id <= (select max(id) from connector_call) - $1::int",
            _CALLS_KEPT,
        )

    async def _finish(self, execution: object, status: str, error: str | None) -> None:
        await self._connection.execute(
            """
            update workflow_execution
            set status = $2,
                error_message = $3,
                progress = case $2 when 'completed' then 100 else progress end,
                output = case $2 when 'completed' then jsonb_build_object('pages', $4::int) end,
                current_node = null,
                completed_at = now()
            where id = $1
            """,
            execution,
            status,
            error,
            self._dice.randint(1, 9),
        )
        await self._connection.execute(
            """
            update agent_task
            set status = $2,
                error_message = $3,
                progress = case $2 when 'completed' then 100 else progress end,
                updated_at = now()
            where execution_id = $1 and status not in ('completed', 'failed', 'cancelled')
            """,
            execution,
            status,
            error,
        )

    def _cost(self) -> Decimal:
        return Decimal(self._dice.randrange(5, 300)) / 10000


async def simulate(dsn: str, rate: float, dice: random.Random) -> None:
    """Runs until cancelled, at about `rate` transactions a second, over lost connections."""
    failures = 0
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
            try:
                simulator = Simulator(connection, dice)
                while True:
                    await simulator.step()
                    failures = 0
                    await asyncio.sleep(dice.expovariate(rate))
            finally:
                connection.terminate()
        except _LOST_CONNECTION as lost:
            failures += 1
            if failures == 1:
                print(f"simulator: {type(lost).__name__}: {lost}; connecting again", file=sys.stderr, flush=True)
            await asyncio.sleep(min(0.1 * 2**failures, _LONGEST_RECONNECT_SECONDS))


async def _until_told_to_stop(dsn: str, rate: float) -> None:
    task = asyncio.ensure_future(simulate(dsn, rate, random.Random()))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def main() -> None:
    """The command line; the connection string comes from the environment, where `ps` does not show it."""
    parser = argparse.ArgumentParser(prog="python -m demo.simulator", description="Writes like an application.")
    parser.add_argument("--rate", type=float, default=5.0, help="transactions a second (default: 5)")
    rate = parser.parse_args().rate
    dsn = os.environ.get("DATABASE_URL")
    if rate <= 0:
        parser.error("--rate must be greater than 0")
    if not dsn:
        parser.error("set DATABASE_URL to the application's connection string")
    asyncio.run(_until_told_to_stop(dsn, rate))


if __name__ == "__main__":
    main()
