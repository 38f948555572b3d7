"""A site: a database, the processes of the service over it, the application that writes to it, and its users."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.support.database import Database
from tests.support.service import ServiceProcess, Services
from tests.support.subscribers import Subscriber, subscriber
from tests.support.tenant import Tenant


@dataclass
class Site:
    """See above."""

    database: Database
    services: Services
    app: "asyncpg.Connection[Any]"
    """As the application: its own unprivileged role."""
    feed: "asyncpg.Connection[Any]"
    """As the operator of changefeed."""
    stack: AsyncExitStack

    @property
    def service(self) -> ServiceProcess:
        """The process that was started first."""
        return self.services.running[0]

    async def start(self, **settings: Any) -> ServiceProcess:
        """One more process. Returns when it is ready."""
        return await self.services.start(**settings)

    async def tenant(self) -> Tenant:
        """Somebody new."""
        return await Tenant.settle(self.app)

    def client(self, transport: str, who: Tenant | str | None, url: str | None = None, **more: Any) -> Subscriber:
        """A client of his, or with this token, not yet connected. It is closed when the test is over."""
        token = who.token() if isinstance(who, Tenant) else who
        made = subscriber(transport, url or self.service.url, token, **more)
        self.stack.push_async_callback(made.close)
        return made

    async def connect(
        self, transport: str, who: Tenant | str | None, url: str | None = None, **more: Any
    ) -> Subscriber:
        """The same, connected."""
        return await self.client(transport, who, url, **more).open()

    async def joined(self, transport: str, who: Tenant | str | None, url: str | None = None, **more: Any) -> Subscriber:
        """The same, and greeted."""
        client = await self.connect(transport, who, url, **more)
        greeting = await client.next()
        assert greeting["type"] == "ready", greeting
        return client


@asynccontextmanager
async def site(database: Database, services: Services) -> AsyncIterator[Site]:
    """One test's view of a database and its processes."""
    async with AsyncExitStack() as stack:
        app, feed = await asyncpg.connect(database.app_dsn), await asyncpg.connect(database.feed_dsn)
        stack.callback(app.terminate)
        stack.callback(feed.terminate)
        yield Site(database, services, app, feed, stack)
