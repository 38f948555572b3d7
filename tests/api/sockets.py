"""WebSockets of tests: connected, introduced, and tried again until something is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.support.service import PAUSE
from tests.support.site import Site
from tests.support.subscribers import LONGEST, End, EndedError, WebSocketSubscriber
from tests.support.tenant import Tenant

PROTOCOL = "changefeed.v1"


def socket(site: Site, who: Tenant | str | None, url: str | None = None, **more: Any) -> WebSocketSubscriber:
    """A client, not yet connected."""
    made = site.client("websocket", who, url, **more)
    assert isinstance(made, WebSocketSubscriber)
    return made


async def joined(site: Site, who: Tenant | str | None, url: str | None = None, **more: Any) -> WebSocketSubscriber:
    """A client that has been greeted."""
    client = await socket(site, who, url, **more).open()
    assert (await client.next())["type"] == "ready"
    return client


async def ticket(url: str, bearer: str) -> str:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/v1/ws-ticket", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


async def soon(attempt: Callable[[], Awaitable[WebSocketSubscriber]]) -> WebSocketSubscriber:
    """Tries until it works: the server hears of a disconnect when it hears of it."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await attempt()
            except (AssertionError, EndedError):
                await asyncio.sleep(PAUSE)


async def soon_refused(site: Site, who: Tenant, **more: str) -> End:
    """How a connection is refused, once there is room for it."""
    async with asyncio.timeout(LONGEST):
        while True:
            end = await socket(site, who, **more).refusal()
            if end.error != "too-many-connections":
                return end
            await asyncio.sleep(PAUSE)
