"""The WebSocket: bytes in, bytes out. What is said is `client`'s business, who may come in is `service`'s.

Two tasks a connection: this one writes, the other one receives, always, because that is the only way to hear of a
disconnect, and because a server that does not read does not see the peer's pongs. A peer that takes nothing for
`send_timeout` is cut off at the transport: a close would wait behind what it does not read.
"""

import asyncio
import logging
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from changefeed.errors import AuthenticationError
from changefeed.session import Item

from .client import Client, is_too_large, parsed
from .closing import Ending
from .credentials import RefusedError
from .identity import Identity
from .pieces import portions
from .service import Service
from .transport import cut_off
from .wishes import WishError, Wishes, wishes_of

logger = logging.getLogger("changefeed.websocket")

PROTOCOL = "changefeed.v1"

GONE = (WebSocketDisconnect, RuntimeError, OSError)
"""What sending to a peer that went looks like: Starlette says RuntimeError to whoever writes after a close."""


async def serve(websocket: WebSocket, service: Service) -> None:
    """One connection, from the handshake to the end."""
    offered: list[str] = websocket.scope.get("subprotocols", [])
    chosen = PROTOCOL if PROTOCOL in offered else "bearer" if "bearer" in offered else None
    await websocket.accept(subprotocol=chosen)
    try:
        service.arrive()
    except RefusedError as refused:
        service.refused("websocket", refused.ending)
        await _part(websocket, refused.ending, service.settings.send_timeout)
        return
    try:
        ending = await _received(websocket, service, batches=chosen == PROTOCOL)
        if ending is not None:
            await _part(websocket, ending, service.settings.send_timeout)
    finally:
        service.depart()


async def _received(websocket: WebSocket, service: Service, *, batches: bool) -> Ending | None:
    """A client from its introduction to its end. Returns why it ends; None where it went by itself, or was cut off."""
    try:
        client = await _admitted(websocket, service)
    except RefusedError as refused:
        service.refused("websocket", refused.ending)
        return refused.ending
    except WebSocketDisconnect:
        return None
    except Exception:
        logger.exception("a client could not be let in")
        service.refused("websocket", ending := Ending.of("internal"))
        return ending
    try:
        async with client.subscription:
            return await _converse(websocket, client, service.settings.send_timeout, batches=batches)
    finally:
        service.leave(client)


async def _admitted(websocket: WebSocket, service: Service) -> Client:
    """Raises RefusedError, WebSocketDisconnect."""
    try:
        wishes = wishes_of(websocket.query_params)
    except WishError as error:
        raise RefusedError(Ending.of("parameter-invalid", str(error))) from None
    identity = await service.identify(websocket, wishes, tickets_allowed=True)
    if identity is None:
        identity, wishes = await _introduced(websocket, service, wishes)
    return await service.admit(identity, wishes, "websocket")


async def _introduced(websocket: WebSocket, service: Service, wishes: Wishes) -> tuple[Identity, Wishes]:
    """Who it is, from its first message. Raises RefusedError, WebSocketDisconnect."""
    settings = service.settings
    try:
        async with asyncio.timeout(settings.auth_timeout):
            received = await websocket.receive()
    except TimeoutError:
        raise RefusedError(Ending.of("authentication-timeout")) from None
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    text = received.get("text")
    if text is not None and is_too_large(text, settings.max_message_bytes):
        raise RefusedError(Ending.of("message-too-large"))
    try:
        message = None if text is None else parsed(text)
    except ValueError:
        message = None
    if message is None or message.type != "auth":
        raise RefusedError(Ending.of("token-missing"))
    try:
        identity = await service.credentials.verifier.verify(message.token)
    except AuthenticationError as error:
        raise RefusedError.by(error) from None
    since = wishes.since if message.since is None else message.since
    return identity, Wishes(None, None, since, wishes.topics, wishes.mode, wishes.min_interval)


async def _converse(websocket: WebSocket, client: Client, seconds: float, *, batches: bool) -> Ending | None:
    """Everything that the client is to get. Returns why it ends; None where there is nobody left to tell."""
    client.abandon = partial(cut_off, websocket.scope)
    listening = asyncio.create_task(_listen(websocket, client))
    try:
        while (items := await client.next()) is not None:
            await _send(websocket, client, items, seconds, batches=batches)
    except TimeoutError:
        client.end(Ending.of("too-slow"))
        cut_off(websocket.scope)
        return None
    except GONE as error:
        logger.debug("a peer went: %s", error)
        return None
    finally:
        client.subscription.close()
        went = listening.done()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    if not went:
        # A session is closed without a reason where too many answers wait for it.
        client.end(Ending.of("too-slow"))
    return client.ending


async def _listen(websocket: WebSocket, client: Client) -> None:
    """Everything that the client says, until it goes."""
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            if (text := message.get("text")) is None:
                client.refuse("message-invalid", "Binary frames are not understood: send text.")
            else:
                await client.hear(text)
    except Exception:
        logger.exception("a client could not be heard")
        client.end(Ending.of("internal"))
    finally:
        client.subscription.close()


async def _send(websocket: WebSocket, client: Client, items: list[Item], seconds: float, *, batches: bool) -> None:
    """As long as the client may be told more. Raises TimeoutError where the peer takes nothing for so long, and GONE."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(seconds) as limit:
        if batches and len(items) > 1:
            for portion in portions(items):
                texts = ",".join(item.whole() for item in portion)
                await websocket.send_text(f"[{texts}]")
                if not client.welcome():
                    return
                limit.reschedule(loop.time() + seconds)
        else:
            for item in items:
                await websocket.send({"type": "websocket.send", "text": item.whole()})
                if client.ending is not None:
                    return
                # A timer costs as much as a message, so it is moved on now and then only.
                if (now := loop.time()) - begun > seconds / 16:
                    if not client.welcome():
                        return
                    begun = now
                    limit.reschedule(now + seconds)


async def _part(websocket: WebSocket, ending: Ending, seconds: float) -> None:
    """Say why, and close. What the peer does not take is dropped."""
    try:
        async with asyncio.timeout(seconds):
            for _, text in ending.texts():
                await websocket.send_text(text)
            await websocket.close(ending.code, ending.error)
    except TimeoutError:
        cut_off(websocket.scope)
    except GONE as error:
        logger.debug("a peer went before it was told why: %s", error)
