"""A client as `docs/protocol.md` asks for one: it comes back with its last cursor, and refetches when it is told to.

What it does not do is wait long: a connection on which nothing comes, not even a heartbeat, is given up.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx
from websockets.exceptions import WebSocketException

from tests.support.application import fetch
from tests.support.issuer import claims, token
from tests.support.oracle import Viewer
from tests.support.subscribers import EndedError, Subscriber, WebSocketSubscriber, subscriber

SILENCE = 3.0
"""Seconds without a message after which a connection is given up; heartbeats come more often."""
AGAIN_SECONDS = 0.1
"""After which a client that was refused comes back."""
BROKEN = (OSError, EndedError, AssertionError, TimeoutError, WebSocketException, httpx.HTTPError)
"""What a connection looks like that is refused, lost, or silent."""
MONTH = 30 * 86400.0


@dataclass
class Credentials:
    """The tokens that clients are given from now on."""

    seconds: float = 3600.0
    """How long they are good."""
    age: float = 0.0
    """How long ago they were issued."""

    def of(self, owner: str) -> str:
        """A token."""
        now = time.time()
        return token(claims(sub=owner, iat=int(now - self.age), exp=now + self.seconds))


@dataclass
class Client:
    """One of an owner's clients."""

    viewer: Viewer
    transport: str
    urls: Sequence[str]
    """Where it finds the service, in the order in which it tries."""
    dsn: str
    """Where it refetches."""
    credentials: Credentials
    told: Callable[[], Awaitable[None]]
    """Awaited after each message."""
    framed: bool = False
    """A WebSocket client that takes many messages in one frame."""
    connections: int = 0
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: it stops reading, and stays connected."""

    def __post_init__(self) -> None:
        self.reading.set()

    async def view(self) -> None:
        """Until it has seen its owner's last change."""
        places = itertools.cycle(self.urls)
        while not self.viewer.done.is_set():
            good = self.credentials.of(self.viewer.owner)
            client = subscriber(self.transport, next(places), good, since=self.viewer.cursor)
            client.patience = SILENCE
            client.wait = "1"
            if isinstance(client, WebSocketSubscriber) and self.framed:
                client.subprotocols = ["changefeed.v1"]
            try:
                async with asyncio.timeout(SILENCE):
                    await client.open()
                self.connections += 1
                await self._follow(client)
            except BROKEN:
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                with contextlib.suppress(*BROKEN):
                    await client.close()

    async def _follow(self, client: Subscriber) -> None:
        viewer = self.viewer
        while not viewer.done.is_set():
            await self.reading.wait()
            wanted = viewer.saw(await client.next())
            client.forget()
            if wanted is not None:
                viewer.fetched(await fetch(self.dsn, viewer.owner), None if wanted == "all" else wanted)
            await self.told()
