"""A storm of connections that come and go in every way leaves nothing behind: no session, no socket, no memory."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from tests.support.service import PAUSE, ServiceProcess
from tests.support.site import Site
from tests.support.subscribers import LONGEST, EndedError, Subscriber, WebSocketSubscriber, subscriber
from tests.support.tenant import Tenant

AT_ONCE = 20
WAVES = 15
MOST_GROWTH = 1 << 20
"""Bytes: 3 KiB for each visit. A session that stays behind takes ten times as much."""
STORMS = 8
"""Within which the memory must have stopped growing."""

Visit = Callable[[str, Tenant], Awaitable[None]]


async def left(client: Subscriber) -> None:
    """Comes, is greeted, and leaves politely."""
    try:
        assert (await (await client.open()).next())["type"] == "ready"
    finally:
        await client.close()


async def good_socket(url: str, tenant: Tenant) -> None:
    await left(subscriber("websocket", url, tenant.token()))


async def good_stream(url: str, tenant: Tenant) -> None:
    await left(subscriber("sse", url, tenant.token()))


async def good_poll(url: str, tenant: Tenant) -> None:
    await left(subscriber("longpoll", url, tenant.token()))


async def broken_socket(url: str, tenant: Tenant) -> None:
    """Greeted, then gone without a word."""
    client = subscriber("websocket", url, tenant.token())
    assert isinstance(client, WebSocketSubscriber)
    await (await client.open()).next()
    await client.say("ping")
    client.socket.transport.abort()
    await client.close()


async def silent_socket(url: str, _: Tenant) -> None:
    """Gone before it has said who it is."""
    client = subscriber("websocket", url, None)
    assert isinstance(client, WebSocketSubscriber)
    await client.open()
    client.socket.transport.abort()
    await client.close()


async def left_poll(url: str, tenant: Tenant) -> None:
    """Gone while it waits."""
    client = subscriber("longpoll", url, tenant.token())
    await (await client.open()).next()
    waiting = asyncio.create_task(client.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await client.close()


async def refused(url: str, tenant: Tenant) -> None:
    """In every way but one transport at a time."""
    for transport in ("websocket", "sse", "longpoll"):
        for client in (
            subscriber(transport, url, "nonsense"),
            subscriber(transport, url, tenant.token(), topics="nope"),
            subscriber(transport, url, tenant.token(), mode="fast"),
        ):
            try:
                await client.refusal()
            finally:
                await client.close()


async def kicked_out(url: str, tenant: Tenant) -> None:
    """Says nothing that can be understood until it is put out."""
    client = subscriber("websocket", url, tenant.token())
    assert isinstance(client, WebSocketSubscriber)
    await (await client.open()).next()
    for _ in range(10):
        await client.say("nonsense")
    try:
        assert (await client.end()).error == "too-many-errors"
    finally:
        await client.close()


VISITS: list[Visit] = [
    good_socket,
    good_stream,
    good_poll,
    broken_socket,
    silent_socket,
    left_poll,
    refused,
    kicked_out,
]


async def storm(url: str, tenants: list[Tenant], kinds: list[Visit], waves: int) -> None:
    """So many waves of AT_ONCE visits."""
    for wave in range(waves):
        async with asyncio.TaskGroup() as visits:
            for number in range(AT_ONCE):
                visit = kinds[(wave + number) % len(kinds)]
                visits.create_task(guarded(visit, url, tenants[number % len(tenants)]))


async def guarded(visit: Visit, url: str, tenant: Tenant) -> None:
    try:
        await visit(url, tenant)
    except EndedError as ended:
        raise AssertionError(f"{visit.__name__}: {ended.end}") from ended


def descriptors(process: ServiceProcess) -> int:
    return sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())


def memory(process: ServiceProcess) -> int:
    """Bytes that are in use."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


async def calm(process: ServiceProcess, most: int | None = None) -> int:
    """Waits until nobody is there, and no more than so many descriptors are open. Returns how many are."""
    empty = [r"changefeed_visitors 0\.0", *(rf'changefeed_sessions{{state="{s}"}} 0\.0' for s in ("live", "lagging"))]
    async with httpx.AsyncClient(base_url=process.url, verify=False) as client, asyncio.timeout(LONGEST):
        while True:
            metrics = (await client.get("/metrics")).text
            if all(re.search(f"^{line}$", metrics, re.MULTILINE) for line in empty):
                now = descriptors(process)
                if most is None or now <= most:
                    return now
            await asyncio.sleep(PAUSE)


async def test_a_storm_of_connections_leaves_nothing_behind(own: Site) -> None:
    process = await own.start()
    tenants = [await own.tenant() for _ in range(5)]
    # What is made once is made now: pools and caches.
    await storm(process.url, tenants, VISITS, WAVES)
    open_before = await calm(process)
    grown = MOST_GROWTH
    # The service remembers those who were here last, up to a number of them: with that reached, nothing grows any more.
    for _ in range(STORMS):
        used_before = memory(process)
        await storm(process.url, tenants, VISITS, WAVES)
        await calm(process, open_before)
        grown = memory(process) - used_before
        if grown < MOST_GROWTH:
            break
    assert grown < MOST_GROWTH
