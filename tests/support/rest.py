"""The REST part inside the test's own process, over a migrated database: requests without a network, and the engine at hand."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from api.router import create_router
from api.service import Service
from changefeed import Settings
from tests.support.database import Database
from tests.support.issuer import SECRET, claims, token

LONGEST = 20.0
HEADER = "X-Changefeed-Cursor"


@dataclass
class Rest:
    """See above."""

    app: FastAPI
    service: Service
    stack: AsyncExitStack

    async def client(self, user: object, **more: Any) -> httpx.AsyncClient:
        """Somebody's, with a good token; `role="admin"` makes him one."""
        return await self.anonymous({"Authorization": f"Bearer {token(claims(sub=str(user), **more))}"})

    async def anonymous(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        """Without a token, unless the headers have one."""
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://host.test/api/v1", headers=headers
        )
        return await self.stack.enter_async_context(made)


@asynccontextmanager
async def serving(
    dsn: str, extend: Callable[[FastAPI], None] = lambda _: None, *, live: bool = True, **settings: Any
) -> AsyncIterator[Rest]:
    """The service as a router in an application of a host's; `extend` adds the host's own routes."""
    service = Service(Settings(dsn=dsn, jwt_secret=SECRET, **({"statistics_interval": 0.01} | settings)))
    app = FastAPI()
    app.include_router(create_router(service=service))
    extend(app)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        if live:
            assert await service.feed.pulse.until(lambda: service.feed.pulse.live, LONGEST)
        yield Rest(app, service, stack)


@asynccontextmanager
async def served(database: Database, **settings: Any) -> AsyncIterator[Rest]:
    """The same over a test's database."""
    async with serving(database.feed_dsn, **settings) as rest:
        yield rest
