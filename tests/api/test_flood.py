"""Far more connections and messages than are allowed, all at once: each gets its documented answer, and nobody else notices."""

import asyncio
from collections import Counter

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.footprint import calm
from tests.support.site import Site
from tests.support.subscribers import EndedError, WebSocketSubscriber, subscriber
from tests.support.tenant import Tenant

MANY = 120
ALLOWED = 10
MESSAGES = 30


async def knock(url: str, tenant: Tenant, transport: str, leave: asyncio.Event) -> str:
    """Comes, stays until all have come, and says how it was received."""
    client = subscriber(transport, url, tenant.token())
    try:
        first = await (await client.open()).next()
        if first["type"] == "error":
            end = await client.end()
        else:
            await leave.wait()
            return str(first["type"])
    except EndedError as ended:
        end = ended.end
    finally:
        await client.close()
    if transport == "websocket":
        assert end.code == 4409, end
    else:
        assert end.status == 429, end
        assert end.headers is not None
        assert int(end.headers["retry-after"]) > 0
    return str(end.error)


async def chatter(site: Site, tenant: Tenant) -> None:
    """Says more than is allowed, as fast as it can."""
    client = await site.joined("websocket", tenant)
    assert isinstance(client, WebSocketSubscriber)
    try:
        for _ in range(10 * MESSAGES):
            await client.say("ping")
    except ConnectionClosed:
        pass
    end = await client.end()
    assert (end.error, end.code) == ("too-many-messages", 4429)
    assert client.kinds.count("pong") <= MESSAGES


async def shout(site: Site, tenant: Tenant) -> None:
    """Says something far too large."""
    client = await site.joined("websocket", tenant)
    assert isinstance(client, WebSocketSubscriber)
    await client.say("x" * 5000)
    end = await client.end()
    assert (end.error, end.code) == ("message-too-large", 4400)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_flood_of_connections_is_refused_and_nobody_else_notices(own: Site, transport: str) -> None:
    process = await own.start(max_user_connections=ALLOWED)
    quiet, flooding = await own.tenant(), await own.tenant()
    witness = await own.joined("websocket", quiet)
    execution = await quiet.begin()
    leave = asyncio.Event()
    knocking = [asyncio.create_task(knock(process.url, flooding, transport, leave)) for _ in range(MANY)]
    for progress in range(1, 20):
        await quiet.move(execution, progress)
        await witness.until("execution-updated", progress=progress)
    while sum(task.done() for task in knocking) < MANY - ALLOWED:
        await asyncio.wait([task for task in knocking if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    leave.set()
    received = Counter(await asyncio.gather(*knocking))
    assert received == {"ready": ALLOWED, "too-many-connections": MANY - ALLOWED}
    await witness.close()
    assert (await calm(process)).nobody


async def test_a_flood_of_messages_ends_with_its_sender_and_nobody_else_notices(own: Site) -> None:
    process = await own.start(max_messages_per_minute=MESSAGES, max_message_bytes=4096)
    quiet = await own.tenant()
    witness = await own.joined("websocket", quiet)
    execution = await quiet.begin()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(chatter(own, await own.tenant()))
            group.create_task(shout(own, await own.tenant()))
        for progress in range(1, 20):
            await quiet.move(execution, progress)
            await witness.until("execution-updated", progress=progress)
    await witness.close()
    assert (await calm(process)).nobody
