"""Server-sent events: the same messages, `event:` their type, `id:` the cursor where a message has one.

A browser that reconnects sends the last `id:` as Last-Event-ID, which is all that resuming takes. Errors before the stream
are problem documents; afterwards an `error` event comes before the end. A peer that takes nothing for `send_timeout` is
left.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from changefeed.relay import LOST
from changefeed.session import Item

from .client import Client
from .closing import Ending
from .service import Service

logger = logging.getLogger("changefeed.sse")

QUIET_SECONDS = 15.0
"""Without anything to say, a comment is sent, so that proxies keep the connection, with the newest place."""
RETRY_MS = 2000


class EventStream(Response):
    """An endless response. Enters the client's subscription, and leaves the service when it is over."""

    media_type = "text/event-stream"

    def __init__(self, client: Client, service: Service) -> None:
        super().__init__(headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._client = client
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        client, seconds = self._client, self._service.settings.send_timeout
        leaving = asyncio.create_task(_until_gone(Request(scope, receive), client))
        try:
            async with client.subscription:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async for text in _blocks(client):
                    async with asyncio.timeout(seconds):
                        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (TimeoutError, OSError) as error:
            logger.debug("a peer of an event stream went: %s", error)
        finally:
            self._service.leave(client)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)


async def _until_gone(request: Request, client: Client) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    client.subscription.close()


async def _blocks(client: Client) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    try:
        while (items := await client.next()) is not None:
            yield "".join(map(block, items))
        ending = client.ending or Ending(1000)
    except LOST as error:
        logger.warning("an event stream ends, because the log could not be read: %s: %s", type(error).__name__, error)
        ending = Ending.of("internal")
    if (text := ending.text()) is not None:
        yield block(Item("error", text))


def block(item: Item) -> str:
    """One message as a block of the stream. A heartbeat is a comment and a block without data, which browsers keep the id of."""
    place = "" if item.cursor is None else f"id: {item.cursor}\n"
    if item.kind == "heartbeat":
        return f": \n{place}\n"
    return f"event: {item.kind}\n{place}data: {item.whole()}\n\n"
