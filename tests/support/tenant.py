"""Somebody who owns rows: a user of the host application, with a workflow of his own and a token.

Guarantees: nobody else in the same database has his id, so that tests can share one database and not meet.
"""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.support.issuer import claims, token


@dataclass
class Tenant:
    """See above."""

    app: "asyncpg.Connection[Any]"
    """As the application: its own unprivileged role."""
    id: UUID = field(default_factory=uuid4)
    workflow: UUID = field(default_factory=uuid4)

    @classmethod
    async def settle(cls, app: "asyncpg.Connection[Any]") -> "Tenant":
        """A new user, with a workflow and nothing in it."""
        tenant = cls(app)
        insert = "insert into workflow (id, owner_id, name) values ($1, $2, 'mine')"
        await app.execute(insert, tenant.workflow, tenant.id)
        return tenant

    def token(self, *, seconds: float = 3600, **more: Any) -> str:
        """A good token of his, good for so long."""
        now = int(time.time())
        return token(claims(**{"sub": str(self.id), "iat": now, "exp": time.time() + seconds, **more}))

    async def begin(self, status: str = "running") -> str:
        """A new execution. Returns its id."""
        insert = "insert into workflow_execution (workflow_id, status) values ($1, $2) returning id::text"
        execution: str = await self.app.fetchval(insert, self.workflow, status)
        return execution

    async def move(self, execution: str, progress: int) -> None:
        """One change of an execution, in a transaction of its own."""
        update = "update workflow_execution set progress = $2 where id = $1::text::uuid"
        assert await self.app.execute(update, execution, progress) == "UPDATE 1"

    async def flood(self, execution: str, messages: int, size: int) -> None:
        """So many changes of an execution, of so many bytes each. Some MiB of them are more than two kernels' buffers hold."""
        update = "update workflow_execution set error_message = repeat($2, $3::int) where id = $1::text::uuid"
        for number in range(messages):
            await self.app.execute(update, execution, "ab"[number % 2], size)

    async def turn(self, execution: str, status: str) -> None:
        """Give an execution another status."""
        update = "update workflow_execution set status = $2 where id = $1::text::uuid"
        assert await self.app.execute(update, execution, status) == "UPDATE 1"

    async def task(self, execution: str) -> str:
        """A new agent task. Returns its id."""
        insert = "insert into agent_task (execution_id, user_id) values ($1::text::uuid, $2) returning id::text"
        made: str = await self.app.fetchval(insert, execution, self.id)
        return made
