"""An HTTP response that lasts: what server-sent events and long polls have in common.

Guarantees: whoever is answered counts as here from the first byte to the last, and not a moment longer, whatever
happens; a refusal is a problem document; that the peer has gone is noticed while there is nothing to send; a peer that
takes nothing for `send_timeout` is cut off.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .client import Client
from .closing import Ending
from .credentials import RefusedError
from .identity import Identity
from .problem import problem_of
from .service import Service
from .transport import cut_off
from .wishes import Wishes

logger = logging.getLogger("changefeed.live")

ABORTED_SECONDS = 1.0
"""For the server to notice that a connection was cut off."""

Tell = Callable[[Message], Awaitable[None]]


class CutShortError(Exception):
    """What was begun is not to be said to its end, and the transport has no words for that."""


class LiveResponse(Response):
    """See above. Its client is let in when it is sent, not before."""

    transport: ClassVar[str]

    def __init__(self, service: Service, identity: Identity, wishes: Wishes) -> None:
        super().__init__()
        self._service = service
        self._identity = identity
        self._wishes = wishes

    @abstractmethod
    async def speak(self, client: Client, tell: Tell) -> None:
        """Say everything through `tell`, which raises TimeoutError where the peer takes nothing. Raises CutShortError."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        service = self._service
        try:
            service.arrive()
        except RefusedError as refused:
            service.refused(self.transport, refused.ending)
            await problem_of(refused.ending)(scope, receive, send)
            return
        try:
            client = await service.admit(self._identity, self._wishes, self.transport)
            try:
                await self._attend(client, scope, receive, send)
            finally:
                service.leave(client)
        except RefusedError as refused:
            service.refused(self.transport, refused.ending)
            await problem_of(refused.ending)(scope, receive, send)
        finally:
            service.depart()

    async def _attend(self, client: Client, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = self._service.settings.send_timeout

        async def tell(message: Message) -> None:
            async with asyncio.timeout(seconds):
                await send(message)

        client.abandon = partial(cut_off, scope)
        leaving = asyncio.create_task(_until_gone(receive, client))
        try:
            async with client.subscription:
                await self.speak(client, tell)
        except (TimeoutError, CutShortError) as error:
            logger.debug("a peer is cut off: %r", error)
            # Whoever is cut short has a reason already, and the first one counts.
            client.end(Ending.of("too-slow"))
            if cut_off(scope):
                await asyncio.wait([leaving], timeout=ABORTED_SECONDS)
        except OSError as error:
            logger.debug("a peer went: %s", error)
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)


def part(body: bytes) -> Message:
    """Of a body that has more to come."""
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _until_gone(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.subscription.close()
