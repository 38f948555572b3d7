"""One process's service: the feed, who may come in, and who is here.

A context manager: inside the block the relay runs; leaving it sends everybody away and ends every task. Guarantees: nobody
is let in beyond the caps, before the feed is live, or with a token from before a kick; whoever is kicked is gone as soon as
this process has read of it. Knows no transport.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from starlette.requests import HTTPConnection

from changefeed.errors import AuthenticationError, TopicError
from changefeed.feed import Feed
from changefeed.relay import LOST
from changefeed.settings import Settings
from changefeed.sql import query

from . import tickets
from .client import Client
from .closing import Ending
from .identity import Identity
from .origins import Origins
from .redaction import install
from .revocations import Revocations
from .tokens import TokenVerifier
from .wishes import Wishes

logger = logging.getLogger("changefeed.service")

Authenticate = Callable[[HTTPConnection], Awaitable[Identity | None]]
"""A host's own: who this is, or None to let the token decide. It may raise AuthenticationError."""

READ_SECONDS = 10.0


class RefusedError(Exception):
    """Somebody is not let in; `ending` says why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


class Service:
    """See above."""

    def __init__(self, settings: Settings, authenticate: Authenticate | None = None) -> None:
        """Connects to nothing yet. Raises ConfigurationError where the settings cannot work."""
        install()
        self.settings = settings
        self.feed = Feed(settings)
        self.revocations = Revocations()
        self.verifier = TokenVerifier(settings, self.revocations)
        self.origins = Origins(settings.allowed_origins)
        self.clients: set[Client] = set()
        self.draining = False
        """Whether the server is going away."""
        self._authenticate = authenticate
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.feed)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for chore in (self._heed_kicks(), self._prepare_keys()):
                stack.callback(tasks.create_task(chore).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.draining = True
        for client in list(self.clients):
            client.end(Ending(1012))
        await self._stack.aclose()

    async def identify(self, connection: HTTPConnection, wishes: Wishes, *, tickets_allowed: bool) -> Identity | None:
        """Who this is; None where nothing was said. Raises AuthenticationError, RefusedError."""
        if not self.origins.allows(connection.headers.get("origin"), connection.headers.get("host")):
            raise RefusedError(Ending.of("origin-forbidden"))
        if self._authenticate is not None and (known := await self._authenticate(connection)) is not None:
            self.revocations.check(known)
            return known
        token = bearer(connection)
        if token is None and wishes.token is not None and self.settings.query_token:
            token = wishes.token
        if token is not None:
            return await self.verifier.verify(token)
        if wishes.ticket is not None and tickets_allowed:
            pool: Any = self.feed.pool
            return await tickets.redeem(pool, wishes.ticket)
        return None

    async def admit(self, identity: Identity, wishes: Wishes, transport: str) -> Client:
        """Let somebody in. He counts as here until `leave`. Raises RefusedError."""
        settings = self.settings
        if self.draining:
            raise RefusedError(Ending(1012))
        mine = sum(client.identity.user_id == identity.user_id for client in self.clients)
        if len(self.clients) >= settings.max_connections or mine >= settings.max_user_connections:
            raise RefusedError(Ending.of("too-many-connections"))
        pulse = self.feed.pulse
        if not await pulse.until(lambda: pulse.live, settings.ready_timeout):
            raise RefusedError(Ending.of("not-ready"))
        try:
            client = Client(self.feed, self.verifier, identity, wishes, transport)
        except TopicError as error:
            code = 4403 if error.code == "topic-forbidden" else 4400
            raise RefusedError(Ending(code, error.code, str(error))) from None
        self.clients.add(client)
        try:
            # Between the check of the token and now he may have been kicked; from now on a kick finds him.
            self.revocations.check(identity)
        except AuthenticationError as error:
            self.leave(client)
            raise RefusedError(Ending.of(error.code, str(error))) from None
        return client

    def leave(self, client: Client) -> None:
        """He is gone."""
        self.clients.discard(client)

    async def drain(self) -> None:
        """Before the server stops: be no longer ready, and ask everybody to come back at a moment of his own."""
        self.draining = True
        most = self.settings.drain_timeout
        for client in list(self.clients):
            client.send_away(round(random.uniform(0, most * 1000)))
        await asyncio.sleep(0)
        for client in list(self.clients):
            client.end(Ending(1012))

    @property
    def reasons(self) -> list[str]:
        """Why this process is not ready; empty where it is."""
        return ["the server is going away"] if self.draining else self.feed.pulse.reasons

    async def _heed_kicks(self) -> None:
        pulse = self.feed.pulse
        seen = -1
        while True:
            await pulse.until(lambda seen=seen: pulse.kicks != seen)  # type: ignore[misc]
            now = pulse.kicks
            try:
                rows = await self.feed.pool.fetch(query("kicks"), timeout=READ_SECONDS)
            except LOST as error:
                logger.warning("the kicks could not be read: %s: %s", type(error).__name__, error)
                await asyncio.sleep(1.0)
                continue
            seen = now
            self.revocations.replace({row["user_id"]: row["at"] for row in rows})
            for client in list(self.clients):
                try:
                    self.revocations.check(client.identity)
                except AuthenticationError:
                    client.end(Ending.of("kicked"))

    async def _prepare_keys(self) -> None:
        if not await self.verifier.prepare():
            logger.warning("the keys that tokens are checked with cannot be fetched yet")


def bearer(connection: HTTPConnection) -> str | None:
    """The token of an Authorization header, or of the subprotocols `["bearer", token]`."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    offered: list[str] = connection.scope.get("subprotocols", [])
    if "bearer" in offered[:-1]:
        return offered[offered.index("bearer") + 1]
    return None
