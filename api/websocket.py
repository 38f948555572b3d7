"""The WebSocket: bytes in, bytes out. What is said is `client`'s business, who may come in is `service`'s.

Two tasks a connection: this one receives, always, because that is the only way to hear of a disconnect, and because a
server that does not read does not see the peer's pongs; the other one writes. A peer that takes nothing for
`send_timeout` is cut off at the transport: a close would wait behind what it does not read.
"""

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from changefeed.errors import AuthenticationError
from changefeed.relay import LOST

from .client import Client, parsed
from .closing import Ending
from .identity import Identity
from .service import RefusedError, Service
from .transport import cut_off
from .wishes import WishError, Wishes, wishes_of

logger = logging.getLogger("changefeed.websocket")

PROTOCOL = "changefeed.v1"
BATCH = 100
"""Messages in one frame, at most."""
CLOSE_SECONDS = 2.0
"""For the peer's answer to our close."""


async def serve(websocket: WebSocket, service: Service) -> None:
    """One connection, from the handshake to the end."""
    offered: list[str] = websocket.scope.get("subprotocols", [])
    chosen = PROTOCOL if PROTOCOL in offered else "bearer" if "bearer" in offered else None
    await websocket.accept(subprotocol=chosen)
    try:
        client = await _admitted(websocket, service)
    except RefusedError as refused:
        await _close(websocket, refused.ending)
        return
    except WebSocketDisconnect:
        return
    try:
        async with client.subscription:
            await _converse(websocket, client, service, batches=chosen == PROTOCOL)
    finally:
        service.leave(client)


async def _admitted(websocket: WebSocket, service: Service) -> Client:
    """Raises RefusedError, WebSocketDisconnect."""
    try:
        wishes = wishes_of(websocket.query_params)
        identity = await service.identify(websocket, wishes, tickets_allowed=True)
        if identity is None:
            identity, wishes = await _introduced(websocket, service, wishes)
    except WishError as error:
        raise RefusedError(Ending.of("parameter-invalid", str(error))) from None
    except AuthenticationError as error:
        raise RefusedError(Ending.of(error.code, str(error))) from None
    except LOST as error:
        logger.warning("a ticket could not be read: %s: %s", type(error).__name__, error)
        raise RefusedError(Ending.of("internal")) from None
    return await service.admit(identity, wishes, "websocket")


async def _introduced(websocket: WebSocket, service: Service, wishes: Wishes) -> tuple[Identity, Wishes]:
    """Who it is, from its first message. Raises RefusedError, AuthenticationError, WebSocketDisconnect."""
    try:
        async with asyncio.timeout(service.settings.auth_timeout):
            text = await websocket.receive_text()
    except TimeoutError:
        raise RefusedError(Ending.of("authentication-timeout")) from None
    except KeyError:  # a binary frame
        raise RefusedError(Ending.of("token-missing")) from None
    if len(text) > service.settings.max_message_bytes:
        raise RefusedError(Ending.of("message-too-large"))
    try:
        message = parsed(text)
    except ValueError:
        raise RefusedError(Ending.of("token-missing")) from None
    if message.type != "auth":
        raise RefusedError(Ending.of("token-missing"))
    identity = await service.verifier.verify(message.token)
    since = wishes.since if message.since is None else message.since
    return identity, Wishes(None, None, since, wishes.topics, wishes.mode, wishes.min_interval)


async def _converse(websocket: WebSocket, client: Client, service: Service, *, batches: bool) -> None:
    async with asyncio.timeout(None) as patience:
        writer = asyncio.create_task(_write(websocket, client, service, patience, batches=batches))
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if (text := message.get("text")) is None:
                    client.refuse("message-invalid", "Binary frames are not understood: send text.")
                else:
                    await client.hear(text)
        except TimeoutError:
            cut_off(websocket)
        finally:
            client.subscription.close()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


async def _write(
    websocket: WebSocket, client: Client, service: Service, patience: asyncio.Timeout, *, batches: bool
) -> None:
    """Everything that the client is to get, and the end. Afterwards the peer has CLOSE_SECONDS to go."""
    seconds = service.settings.send_timeout
    try:
        while (items := await client.next()) is not None:
            async with asyncio.timeout(seconds) as limit:
                if batches and len(items) > 1:
                    for first in range(0, len(items), BATCH):
                        limit.reschedule(asyncio.get_running_loop().time() + seconds)
                        texts = ",".join(item.whole() for item in items[first : first + BATCH])
                        await websocket.send_text(f"[{texts}]")
                else:
                    for item in items:
                        await websocket.send_text(item.whole())
        async with asyncio.timeout(seconds):
            await _close(websocket, client.ending or Ending(1000))
    except TimeoutError:
        client.end(Ending.of("too-slow"))
        cut_off(websocket)
    except (WebSocketDisconnect, RuntimeError, OSError) as error:
        # The peer went while we were writing. Starlette says RuntimeError to whoever writes after a close.
        logger.debug("a peer went: %s", error)
    except LOST as error:
        logger.warning("a session ends, because the log could not be read: %s: %s", type(error).__name__, error)
        await _close(websocket, Ending.of("internal"))
    except Exception:
        logger.exception("a session failed")
        await _close(websocket, Ending.of("internal"))
    finally:
        patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)


async def _close(websocket: WebSocket, ending: Ending) -> None:
    text = ending.text()
    try:
        if text is not None:
            await websocket.send_text(text)
        await websocket.close(ending.code, ending.error)
    except (WebSocketDisconnect, RuntimeError, OSError) as error:
        logger.debug("a peer went before it was told why: %s", error)
