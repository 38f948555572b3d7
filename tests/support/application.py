"""An application that insists: it connects again where the server was gone, until its work is done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

from tests.support.history import EXECUTIONS, TASKS, Row

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
)
"""What a server that goes away looks like to an application; between two messages asyncpg says InternalClientError."""


AGAIN_SECONDS = 0.05
"""Between two attempts to connect to a server that refuses."""


Connection: TypeAlias = "asyncpg.Connection[Any]"


async def fetch(dsn: str, owner: str) -> dict[Row, int]:
    """What a first load, or a refetch, finds of this owner's; where the server is gone, when it is back."""
    found: dict[Row, int] = {}

    async def read(connection: Connection) -> None:
        rows = await connection.fetch(
            """
            select $2 as source, t.id::text as id, t.progress from agent_task t where t.user_id = $1::text::uuid
            union all
            select $3, e.id::text, e.progress
              from workflow_execution e join workflow w on w.id = e.workflow_id where w.owner_id = $1::text::uuid
            """,
            owner,
            TASKS,
            EXECUTIONS,
        )
        found.update({(row["source"], row["id"]): row["progress"] for row in rows})

    await insisting(dsn, read)
    return found


async def insisting(dsn: str, work: Callable[[Connection], Awaitable[None]]) -> None:
    """Connects, and again where the server was gone, until the work is done."""
    while True:
        try:
            connection = await asyncpg.connect(dsn)
        except LOST:
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        try:
            await work(connection)
            return
        except LOST:
            continue
        finally:
            connection.terminate()
