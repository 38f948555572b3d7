"""One process's service: the feed, who may come in, and who is here.

A context manager: inside the block the relay runs; leaving it sends everybody away and ends every task. Guarantees: nobody
is let in beyond the caps, before the feed is live, or with a token from before a kick that this process has heard of;
whoever is kicked is gone as soon as it has read of it. Knows no transport.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from starlette.requests import HTTPConnection

from changefeed.errors import AuthenticationError, TopicError
from changefeed.feed import Feed
from changefeed.relay import LOST
from changefeed.settings import Settings
from changefeed.sql import query
from changefeed.standing import standing

from . import journal
from .client import Client
from .closing import Ending
from .counts import Counts
from .credentials import Authenticate, Credentials, RefusedError
from .guests import Guest, guests
from .identity import Identity
from .presence import Presence
from .redaction import install
from .revocations import Revocations, is_revoked, revoked
from .wishes import Wishes

__all__ = ["Authenticate", "RefusedError", "Service"]

logger = logging.getLogger("changefeed.service")

READ_SECONDS = 10.0
RETRY_SECONDS = 1.0
CONFIRM_SECONDS = 5.0
"""For how long it is believed that the triggers are as they were: who disables one tells nobody."""
KEYS_SECONDS = 15.0
"""Between two attempts to fetch a provider's keys where there are none: it allows itself six a minute, and clients cause some."""
SPREAD_SECONDS_PER_CLIENT = 0.005
"""Between two clients that are sent away, so that those who come back do not come at once."""
AFTER_MS = 1000
"""Within which a client that was sent away is to come back."""
REMEMBERED = 1000
"""Connections that have ended, of which it is still known whose they were and where they got to."""
PARTING_SECONDS = 2.0
"""For the last words to everybody."""


class Service:
    """See above."""

    def __init__(self, settings: Settings, authenticate: Authenticate | None = None) -> None:
        """Connects to nothing yet. Raises ConfigurationError where the settings cannot work."""
        install()
        self.settings = settings
        self.feed = Feed(settings, statistics=True)
        self.revocations = Revocations()
        self.credentials = Credentials(settings, self.feed, self.revocations, authenticate)
        self.clients: set[Client] = set()
        self.visitors = 0
        """Connections, also of those whose names are not yet known."""
        self.stopping = False
        """Whether the server was told to stop."""
        self.draining = False
        """Whether nobody is let in any more."""
        self.counts = Counts()
        self.presence = Presence(settings.max_user_connections)
        self.past: deque[Guest] = deque(maxlen=REMEMBERED)
        """The connections that ended last, for whoever asks what became of a change."""
        self.feed.witness.sessions = lambda owner: guests(self.clients, self.past, owner)
        self._heeded = -1
        """The count of kicks up to which they have been read; -1: never."""
        self._confirmed_at = float("-inf")
        self._gone = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.feed)
            chores: dict[str, Callable[[], Awaitable[None]]] = {
                "heeding kicks": self._heed_kicks,
                "fetching keys": self._prepare_keys,
                "sharing who is here": partial(self.presence.share, self.feed, self._send_away),
            }
            for name, chore in chores.items():
                stack.push_async_callback(_ended, asyncio.create_task(standing(name, chore)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping = self.draining = True
        for client in list(self.clients):
            client.end(_going())
        await self._stack.aclose()

    async def identify(self, connection: HTTPConnection, wishes: Wishes, *, tickets_allowed: bool) -> Identity | None:
        """Who this is; None where nothing was said. Raises RefusedError."""
        return await self.credentials.identify(connection, wishes, tickets_allowed=tickets_allowed)

    async def hear_of(self, identity: Identity) -> None:
        """Make sure that no kick is unknown here that would turn this one away. Raises RefusedError.

        Whoever opens a connection waits until all are known. Other questions are also answered by a process that has only just
        begun, or whose relay has lost the database.
        """
        if self.feed.pulse.connected and self._heeded == self.feed.pulse.kicks:
            return
        try:
            at = await self.feed.pool.fetchval(query("kick"), identity.user_id, timeout=READ_SECONDS)
        except LOST as error:
            logger.warning("it cannot be read who was kicked: %s: %s", type(error).__name__, error)
            raise RefusedError(Ending.of("internal")) from None
        if is_revoked(identity, at):
            raise RefusedError.by(revoked())

    def arrive(self) -> None:
        """One connection more, whoever it is, until it departs. Raises RefusedError."""
        if self.draining:
            raise RefusedError(_going())
        if self.visitors >= self.settings.max_connections:
            raise RefusedError(Ending.of("too-many-connections"))
        self.visitors += 1

    def depart(self) -> None:
        """One connection less."""
        self.visitors -= 1

    async def admit(self, identity: Identity, wishes: Wishes, transport: str) -> Client:
        """Let somebody in who has arrived. He counts as here until `leave`. Raises RefusedError."""
        user = identity.user_id
        # From now on, because many may wait here for the feed at the same time.
        if not self.presence.enter(user):
            raise RefusedError(Ending.of("too-many-connections"))
        try:
            await self._readiness()
            # The token was checked before we waited. From now on a kick finds the client.
            self.revocations.check(identity)
            client = Client(self.feed, self.credentials.verifier, identity, wishes, transport, self.counts)
        except BaseException as error:
            self.presence.leave(user)
            if isinstance(error, AuthenticationError):
                raise RefusedError.by(error) from None
            if isinstance(error, TopicError):
                code = 4403 if error.code == "topic-forbidden" else 4400
                raise RefusedError(Ending.of(error.code, str(error), code=code)) from None
            raise
        self.clients.add(client)
        self.counts.entered(transport)
        return client

    def refused(self, transport: str, ending: Ending) -> None:
        """Somebody was not let in: for the counts and the log."""
        self.counts.ended(transport, ending)
        journal.refused(transport, ending)

    def leave(self, client: Client) -> None:
        """He is gone. Once for each who was admitted."""
        self.clients.remove(client)
        self.presence.leave(client.identity.user_id)
        self.counts.ended(client.transport, client.ending)
        self.past.append(Guest.of(client))
        journal.closed(client)
        if not self.clients:
            self._gone.set()

    async def drain(self) -> None:
        """Before the server stops: be no longer ready, then send everybody away, each at a moment of his own."""
        self.stopping = True
        # A load balancer that has not noticed yet still sends newcomers, who are served.
        await asyncio.sleep(self.settings.drain_delay)
        self.draining = True
        self.feed.pulse.move()
        clients = list(self.clients)
        random.shuffle(clients)
        spread = min(self.settings.drain_timeout, SPREAD_SECONDS_PER_CLIENT * len(clients))
        started = time.monotonic()
        for number, client in enumerate(clients):
            if (early := started + spread * number / len(clients) - time.monotonic()) > 0:
                await asyncio.sleep(early)
            client.end(_going())
        self._gone.clear()
        if self.clients:
            try:
                async with asyncio.timeout(PARTING_SECONDS):
                    await self._gone.wait()
            except TimeoutError:
                logger.info("%d clients do not take what they are sent, and are cut off", len(self.clients))
                for client in list(self.clients):
                    client.abandon()

    @property
    def live(self) -> bool:
        """Whether a `ready` would be true: capture and LISTEN are confirmed, and every kick is known."""
        return self.feed.pulse.live and self._heeded == self.feed.pulse.kicks

    @property
    def reasons(self) -> list[str]:
        """Why this process is not ready; empty where it is."""
        going = ["the server is going away"] if self.stopping else []
        found = list(self.feed.pulse.reasons)
        if not found and self._heeded != self.feed.pulse.kicks:
            found.append("the kicks are being read")
        if not self.credentials.verifier.usable:
            # No reason to turn anybody away whose token needs none of them, but no place to send anybody to.
            found.append("the keys that tokens are checked with cannot be fetched: is CHANGEFEED_JWT_JWKS_URL right?")
        return going or found

    async def confirm(self) -> None:
        """Have the relay look whether the triggers are still in place, unless it has done so a moment ago."""
        now = time.monotonic()
        if now - self._confirmed_at < CONFIRM_SECONDS or not self.feed.pulse.connected:
            return
        self._confirmed_at = now
        await self.feed.relay.recheck(self.settings.ready_timeout)

    async def _readiness(self) -> None:
        """Wait until clients may be let in. Raises RefusedError."""
        pulse = self.feed.pulse
        await self.confirm()
        await pulse.until(lambda: self.draining or self.live, self.settings.ready_timeout)
        if self.draining:
            raise RefusedError(_going())
        if not self.live:
            raise RefusedError(Ending.of("not-ready"))

    def _send_away(self, user: str, most: int) -> None:
        """The newest of a user's connections: over all processes he has too many, and so many may stay here."""
        # Those that were sent away a moment ago are counted until they are gone.
        mine = (client for client in self.clients if client.identity.user_id == user and client.ending is None)
        for client in sorted(mine, key=lambda client: client.began)[most:]:
            client.end(Ending.of("too-many-connections"))

    async def _heed_kicks(self) -> None:
        pulse = self.feed.pulse
        while True:
            await pulse.until(lambda: pulse.kicks != self._heeded)
            now = pulse.kicks
            try:
                rows = await self.feed.pool.fetch(query("kicks"), timeout=READ_SECONDS)
            except LOST as error:
                logger.warning("the kicks could not be read: %s: %s", type(error).__name__, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self.revocations.replace({row["user_id"]: row["at"] for row in rows})
            self._heeded = now
            pulse.move()
            for client in list(self.clients):
                try:
                    self.revocations.check(client.identity)
                except AuthenticationError:
                    client.end(Ending.of("kicked"))

    async def _prepare_keys(self) -> None:
        # Otherwise they are fetched when somebody comes whose token needs it; but nobody comes to who is not ready.
        while True:
            if self.credentials.verifier.aging:
                await self.credentials.verifier.prepare()
            await asyncio.sleep(KEYS_SECONDS)


def _going() -> Ending:
    return Ending.restart(random.randrange(AFTER_MS))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    for failure in await asyncio.gather(task, return_exceptions=True):
        if isinstance(failure, Exception):
            logger.error("a task of the service failed", exc_info=failure)
