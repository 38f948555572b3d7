"""Clients that come to the service and go again, in every way: politely, without a word, too early, put out.

A visit is over when the client has let go of everything; what the service keeps of it is for others to ask. The visitor's
token is a good one. Where a deadline or a limit of the service ends a visit, a shorter one makes it shorter.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from tests.support.stuck import StuckPeer
from tests.support.subscribers import (
    SUBSCRIBERS,
    TRANSPORTS,
    EndedError,
    Subscriber,
    WebSocketSubscriber,
    connected,
    subscriber,
)

IMPATIENCE = 0.1
"""Seconds after which somebody who polls no longer waits for the answer."""
MANY = 100
"""Messages: more than any service that visits are made to allows in a minute."""
READY = rb'"type":"ready"'

Visit = Callable[[str, str], Awaitable[None]]
"""Of whoever has this token to the service at this address. Raises EndedError where it is ended against expectation."""


async def left(client: Subscriber) -> None:
    """Comes, is greeted, and leaves politely."""
    try:
        assert (await (await client.open()).next())["type"] == "ready"
    finally:
        await client.close()


async def good_socket(url: str, token: str) -> None:
    await left(subscriber("websocket", url, token))


async def good_stream(url: str, token: str) -> None:
    """Streams have no end, so this one is left in the middle as well."""
    await left(subscriber("sse", url, token))


async def good_poll(url: str, token: str) -> None:
    await left(subscriber("longpoll", url, token))


async def introduced_socket(url: str, token: str) -> None:
    """Says who it is in its first message."""
    async with connected("websocket", url, None) as client:
        await _socket(client).say({"type": "auth", "token": token})
        await client.until("ready")


async def resumed(url: str, token: str) -> None:
    """Goes on from where it was, over each transport."""
    since: str | None = None
    for transport in TRANSPORTS:
        async with connected(transport, url, token, since=since) as client:
            await client.until("ready")
            since = client.cursor


async def fickle_socket(url: str, token: str) -> None:
    """Always wants something else, and things over again."""
    async with connected("websocket", url, token, mode="state", min_interval=50) as client:
        since = (await client.until("ready"))["cursor"]
        for wish in (
            {"topics": ["executions"]},
            {"since": since},
            {"mode": "log", "min_interval": 0},
            {"since": since},
        ):
            await _socket(client).say({"type": "subscribe", **wish})
            await client.until("subscribed")


async def broken_socket(url: str, token: str) -> None:
    """Greeted, then gone without a word."""
    async with connected("websocket", url, token) as client:
        await client.until("ready")
        await _socket(client).say("ping")
        _socket(client).socket.transport.abort()


async def reset_streams(url: str, token: str) -> None:
    """Greeted, then gone with a reset."""
    for transport in ("websocket", "sse"):
        async with _peer(transport, url, token) as peer:
            await peer.read_until(READY)
            peer.reset()


async def left_early(url: str, token: str) -> None:
    """Gone before the handshake is answered."""
    for transport in TRANSPORTS:
        async with _peer(transport, url, token):
            pass


async def reset_early(url: str, token: str) -> None:
    """The same with a reset."""
    for transport in TRANSPORTS:
        async with _peer(transport, url, token) as peer:
            peer.reset()


async def left_poll(url: str, token: str) -> None:
    """Gone while it waits."""
    async with connected("longpoll", url, token) as client:
        await client.until("ready")
        with suppress(TimeoutError):
            async with asyncio.timeout(IMPATIENCE):
                await client.next()


async def silent_socket(url: str, _: str) -> None:
    """Gone before it has said who it is."""
    async with connected("websocket", url, None) as client:
        _socket(client).socket.transport.abort()


async def refused(url: str, token: str) -> None:
    """For its token and for what it wants, over each transport."""
    for transport in TRANSPORTS:
        for client in (
            subscriber(transport, url, "nonsense"),
            subscriber(transport, url, token, topics="nope"),
            subscriber(transport, url, token, mode="fast"),
        ):
            try:
                await client.refusal()
            finally:
                await client.close()


async def kicked_out(url: str, token: str) -> None:
    """Says nothing that can be understood until it is put out."""
    async with connected("websocket", url, token) as client:
        await client.until("ready")
        for _ in range(10):
            await _socket(client).say("nonsense")
        assert (await client.end()).error == "too-many-errors"


async def flooding_socket(url: str, token: str) -> None:
    """Says more than it may, until it is put out."""
    async with connected("websocket", url, token) as client:
        await client.until("ready")

        async def flood() -> None:
            with suppress(ConnectionClosed):
                for _ in range(MANY):
                    await _socket(client).say("ping")

        end, _ = await asyncio.gather(client.end(), flood())
        assert end.error == "too-many-messages"


async def mute_socket(url: str, _: str) -> None:
    """Does not say who it is, until it is put out."""
    async with connected("websocket", url, None) as client:
        assert (await client.end()).error == "authentication-timeout"


VISITS: tuple[Visit, ...] = (
    good_socket,
    good_stream,
    good_poll,
    introduced_socket,
    resumed,
    fickle_socket,
    broken_socket,
    reset_streams,
    left_early,
    reset_early,
    left_poll,
    silent_socket,
    refused,
    kicked_out,
    flooding_socket,
)
"""All but `mute_socket`, which takes as long as the service waits for a name."""


async def storm(url: str, visits: Iterable[tuple[Visit, str]], at_once: int = 20) -> None:
    """All of these visits, each with its visitor's token, so many at a time."""
    coming = iter(visits)

    async def come_and_go() -> None:
        for visit, token in coming:
            try:
                await visit(url, token)
            except EndedError as ended:
                raise AssertionError(f"{visit.__name__}: {ended.end}") from ended

    async with asyncio.TaskGroup() as visitors:
        for _ in range(at_once):
            visitors.create_task(come_and_go())


def _socket(client: Subscriber) -> WebSocketSubscriber:
    assert isinstance(client, WebSocketSubscriber)
    return client


def _peer(transport: str, url: str, token: str) -> StuckPeer:
    return StuckPeer(url, SUBSCRIBERS[transport].path, token, websocket=transport == "websocket")
