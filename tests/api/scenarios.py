"""What the scenarios of all transports share: what a connection may end with, and how to read what came."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.subscribers import End, Message, Subscriber

TYPED = {"agent-tasks", "executions"}


ADMIN = {"system-metrics", "cost-analytics", "connector-stats"}


CLOSES = {
    "topic-unknown": (4400, 400),
    "topic-forbidden": (4403, 403),
    "token-expired": (4410, 401),
    "token-revoked": (4403, 403),
    "kicked": (4403, 403),
    "not-ready": (4500, 503),
    "restart": (1012, 503),
}


def assert_ended(error: str, end: End, transport: str) -> None:
    """With this error, and the close code or the status that goes with it."""
    code, status = CLOSES[error]
    assert end.error == error
    if transport == "websocket":
        assert (end.code, end.status) == (code, None)
    else:
        # A stream that has begun has had its status.
        assert end.status in (status, None)
        assert end.status == status or transport == "sse"


def progress(messages: list[Message]) -> list[int]:
    return [message["data"]["progress"] for message in messages]


async def repeat_until(done: "asyncio.Task[Any]", act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Acts again and again: a poll may have been under way only after the first times."""
    while not done.done():
        await act()
        await asyncio.wait([done], timeout=0.05)


def advice(client: Subscriber) -> dict[str, int]:
    """What `reconnect` said, of a client whose connection has ended."""
    (found,) = [message["data"] for message in client.seen if message["type"] == "reconnect"]
    return dict(found)
