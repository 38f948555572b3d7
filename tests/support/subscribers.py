"""Clients of the three transports with one vocabulary, for suites that run over all of them.

    async with connected("sse", url, token) as client:
        ready = await client.until("ready")

Written against PROTOCOL alone: nothing of the service is imported. Guarantees: every message that has come is in `seen`,
in order; waiting for one that never comes fails with what came instead.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.client import LONGEST, STATISTICS, End, EndedError, Message, Subscriber, end_of


class WebSocketSubscriber(Subscriber):
    """Over a WebSocket."""

    transport = "websocket"
    path = "/ws/dashboard"

    def __init__(self, url: str, token: str | None, parameters: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(url, token, parameters, headers)
        self.frames: list[str] = []
        self.subprotocols: list[str] = []
        self.options: dict[str, Any] = {}
        self._waiting: list[Message] = []
        self.socket: ClientConnection

    async def open(self) -> Self:
        query = f"?{httpx.QueryParams(self.parameters)}" if self.parameters else ""
        options = {"open_timeout": LONGEST, "close_timeout": 1.0, "compression": None, "ping_interval": None}
        self.socket = await connect(
            self.url.replace("http", "ws", 1) + self.path + query,
            additional_headers=self.headers,
            subprotocols=self.subprotocols or None,  # type: ignore[arg-type]
            **(options | self.options),
        )
        self._stack.push_async_callback(self.socket.close)
        return self

    def forget(self) -> None:
        super().forget()
        self.frames.clear()

    async def say(self, message: Any) -> None:
        """Send a message: text as it is, anything else as JSON."""
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def _receive(self) -> Message:
        if not self._waiting:
            try:
                frame = await self.socket.recv()
            except ConnectionClosed as closed:
                error = self._last_error()
                code = 1006 if closed.rcvd is None else closed.rcvd.code
                raise EndedError(End(error["data"]["code"] if error else None, code)) from None
            assert isinstance(frame, str)
            self.frames.append(frame)
            content = json.loads(frame)
            self._waiting = content if isinstance(content, list) else [content]
        return self._waiting.pop(0)


class StreamSubscriber(Subscriber):
    """Over server-sent events."""

    transport = "sse"
    path = "/api/v1/events"

    def __init__(self, url: str, token: str | None, parameters: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(url, token, parameters, headers)
        self.last_event_id: str | None = None
        self.retry: int | None = None
        self._blocks: AsyncIterator[Message]

    async def open(self) -> Self:
        client = await self._stack.enter_async_context(httpx.AsyncClient(timeout=None, verify=False))
        stream = client.stream("GET", self.url + self.path, params=self.parameters, headers=self.headers)
        response = await self._stack.enter_async_context(stream)
        if response.status_code != 200:
            await response.aread()
            raise EndedError(end_of(response))
        assert response.headers["content-type"].startswith("text/event-stream")
        self._blocks = self._parsed(response.aiter_lines())
        self._stack.push_async_callback(self._blocks.aclose)  # type: ignore[attr-defined]
        return self

    async def _receive(self) -> Message:
        try:
            return await anext(self._blocks)
        except (StopAsyncIteration, httpx.TransportError):
            error = self._last_error()
            raise EndedError(End(error["data"]["code"] if error else None)) from None

    async def _parsed(self, lines: AsyncIterator[str]) -> AsyncIterator[Message]:
        kind, data, place = "message", list[str](), False
        async for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "" if line:  # a comment
                    pass
                case "":
                    if data:
                        message = json.loads("\n".join(data))
                        assert message["type"] == kind
                        assert not place or message["cursor"] == self.last_event_id
                        yield message
                    elif place:
                        # What is no event for a browser, but moves its Last-Event-ID on.
                        yield {"type": "heartbeat", "cursor": self.last_event_id, "data": {}}
                    kind, data, place = "message", [], False
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "id":
                    self.last_event_id, place = value, True
                case "retry":
                    self.retry = int(value)


class PollSubscriber(Subscriber):
    """Over long polls, one after the other.

    Of the `ready` that each answer begins with, only the first is a message, and those that say resync. An answer
    without any other message is a heartbeat.
    """

    transport = "longpoll"
    path = "/api/v1/changes"

    def __init__(self, url: str, token: str | None, parameters: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(url, token, parameters, headers)
        self.answers: list[httpx.Response] = []
        self._waiting: list[Message] = []
        self._place = self.cursor

    async def open(self) -> Self:
        self._client = await self._stack.enter_async_context(httpx.AsyncClient(timeout=None, verify=False))
        # Also where nothing was missed, the greeting is to come at once.
        await self._poll("0")
        return self

    async def _receive(self) -> Message:
        while not self._waiting:
            await self._poll(self.wait)
        return self._waiting.pop(0)

    def forget(self) -> None:
        super().forget()
        # Two are enough to tell that it was greeted.
        del self.answers[:-2]

    async def _poll(self, wait: str) -> None:
        parameters = self.parameters | {"wait": wait} | ({"since": self._place} if self._place else {})
        try:
            response = await self._client.get(self.url + self.path, params=parameters, headers=self.headers)
        except httpx.TransportError:
            raise EndedError(End(None)) from None
        self.answers.append(response)
        if response.status_code != 200:
            raise EndedError(end_of(response))
        answer = response.json()
        first, *rest = answer["messages"]
        assert first["type"] == "ready"
        greeted = len(self.answers) > 1
        self._waiting = [*([] if greeted and first["data"]["outcome"] != "resync" else [first]), *rest]
        self._place = answer["cursor"]
        if not any(message["type"] not in STATISTICS for message in self._waiting):
            self._waiting.append({"type": "heartbeat", "data": {}})
        # The answer is whole, so its place is reached with its last message.
        self._waiting[-1]["cursor"] = self._place


SUBSCRIBERS: dict[str, type[Subscriber]] = {
    kind.transport: kind for kind in (WebSocketSubscriber, StreamSubscriber, PollSubscriber)
}


TRANSPORTS = tuple(SUBSCRIBERS)


def subscriber(
    transport: str,
    url: str,
    token: str | None,
    *,
    headers: dict[str, str] | None = None,
    **parameters: str | int | None,
) -> Subscriber:
    """A client, not yet connected. `parameters`: those of the address, as PROTOCOL names them."""
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return SUBSCRIBERS[transport](url, token, given, headers or {})


@asynccontextmanager
async def connected(transport: str, url: str, token: str | None, **more: Any) -> AsyncIterator[Subscriber]:
    """A client that is connected for as long as the block lasts."""
    client = subscriber(transport, url, token, **more)
    try:
        yield await client.open()
    finally:
        await client.close()


__all__ = [
    "LONGEST",
    "STATISTICS",
    "SUBSCRIBERS",
    "TRANSPORTS",
    "End",
    "EndedError",
    "Message",
    "PollSubscriber",
    "StreamSubscriber",
    "Subscriber",
    "WebSocketSubscriber",
    "connected",
    "subscriber",
]
