"""One client as all transports have it: what it has seen, the newest place it was told, and how its connection ended.

Written against PROTOCOL alone: nothing of the service is imported.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import httpx

LONGEST = 20.0
"""Seconds after which waiting is given up: the test has failed."""


Message = dict[str, Any]


STATISTICS = ("dashboard-stats-update", "system-metrics-update", "cost-analytics-update", "connector-stats-update")


@dataclass(frozen=True)
class End:
    """How a connection ended: the last error's code, and what the transport says beside it."""

    error: str | None
    code: int | None = None
    """The WebSocket's close code."""
    status: int | None = None
    """HTTP's, where there was an answer and no stream."""
    headers: httpx.Headers | None = None
    detail: str = ""


class EndedError(Exception):
    """The server has ended the connection."""

    def __init__(self, end: End) -> None:
        super().__init__(str(end))
        self.end = end


class Subscriber(ABC):
    """One client, connected."""

    transport: ClassVar[str]
    path = ""
    patience = LONGEST
    """Seconds after which it no longer waits for a message."""
    wait = "15"
    """Seconds for which a long poll waits."""

    def __init__(self, url: str, token: str | None, parameters: dict[str, str], headers: dict[str, str]) -> None:
        self.url = url
        self.parameters = parameters
        self.headers = headers | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self.seen: list[Message] = []
        self.statistics: list[Message] = []
        """Kept apart, because they come when they please."""
        self.cursor: str | None = parameters.get("since")
        """The newest place that it was told."""
        self._stack = AsyncExitStack()

    @abstractmethod
    async def open(self) -> Self:
        """Connect."""

    @abstractmethod
    async def _receive(self) -> Message:
        """The next message. Raises EndedError."""

    async def close(self) -> None:
        """Go away politely."""
        await self._stack.aclose()

    async def next(self) -> Message:
        """The next message that is no statistic. Raises EndedError."""
        try:
            async with asyncio.timeout(self.patience):
                while (message := await self._receive())["type"] in STATISTICS:
                    self.statistics.append(message)
        except TimeoutError:
            raise AssertionError(f"nothing came after {self.kinds}") from None
        self.seen.append(message)
        self.cursor = message.get("cursor") or self.cursor
        return message

    def forget(self) -> None:
        """What it has seen is not kept, but for the last: there may be much of it."""
        del self.seen[:-1]

    async def until(self, kind: str, **members: Any) -> Message:
        """The next message of this type, with these members of `data`, passing over others. Raises EndedError."""
        while True:
            message = await self.next()
            if message["type"] == kind and message["data"] | members == message["data"]:
                return message

    async def end(self) -> End:
        """Waits until the server ends the connection. Returns how."""
        try:
            while True:
                await self.next()
        except EndedError as ended:
            return ended.end

    async def refusal(self) -> End:
        """Connects, and waits until the server ends the connection, which must not come to `ready`."""
        try:
            await self.open()
        except EndedError as ended:
            return ended.end
        end = await self.end()
        assert set(self.kinds) <= {"error"}, self.seen
        return end

    @property
    def kinds(self) -> list[str]:
        """The types of what came, in order."""
        return [message["type"] for message in self.seen]

    @property
    def events(self) -> list[Message]:
        """What came from the log: whatever has an id."""
        return [message for message in self.seen if "id" in message]

    def _last_error(self) -> Message | None:
        return self.seen[-1] if self.seen and self.seen[-1]["type"] == "error" else None


def end_of(response: httpx.Response) -> End:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    return End(problem["code"], None, response.status_code, response.headers, problem["detail"])
