"""A peer that takes nothing: it is cut off with its memory freed, nobody else notices, and it does not keep a server alive."""

import asyncio
import signal

import httpx
import pytest

from tests.support.service import PAUSE, ServiceProcess
from tests.support.site import Site
from tests.support.stuck import StuckPeer
from tests.support.subscribers import LONGEST, Message, Subscriber

PATHS = {"websocket": "/ws/dashboard", "sse": "/api/v1/events"}
CURSOR = rb'"type":"ready".*?"cursor":"([0-9a-f.-]+)"'
MESSAGES = 500
SIZE = 20_000

pytestmark = pytest.mark.parametrize("transport", PATHS)


async def all_of_it(client: Subscriber) -> list[Message]:
    messages: dict[str, Message] = {}
    while len(messages) < MESSAGES:
        message = await client.until("execution-updated")
        messages[message["id"]] = message
    return list(messages.values())


async def left_alone(process: ServiceProcess, prefix: str, number: int) -> None:
    """Waits until the service has so many connections."""
    async with httpx.AsyncClient(base_url=process.url) as client, asyncio.timeout(LONGEST):
        while True:
            if f"changefeed_visitors {number:.1f}" in (await client.get(f"{prefix}/metrics")).text.splitlines():
                return
            await asyncio.sleep(PAUSE)


@pytest.mark.parametrize(("app", "prefix"), [("api.app:app", ""), ("tests.support.hosted:asgi", "/live")])
async def test_a_peer_that_stops_reading_is_cut_off_and_nobody_else_notices(
    own: Site, transport: str, app: str, prefix: str
) -> None:
    process = await own.services.begin(app, send_timeout=0.5, max_replay_bytes=1 << 30).listening()
    tenant = await own.tenant()
    execution = await tenant.begin()
    reader = own.client(transport, tenant)
    reader.path = prefix + reader.path
    assert (await (await reader.open()).next())["type"] == "ready"
    path = prefix + PATHS[transport]
    async with StuckPeer(process.url, path, tenant.token(), websocket=transport == "websocket") as stuck:
        place = (await stuck.read_until(CURSOR))[1].decode()
        assert stuck.is_held()
        reading = asyncio.create_task(all_of_it(reader))
        await tenant.flood(execution, MESSAGES, SIZE)
        await reading
        # It still has not read, and need not: the connection is gone, with what the process has kept for it.
        await left_alone(process, prefix, 1)
        assert not stuck.is_held()
        assert len(await stuck.cut_off()) < MESSAGES * SIZE / 2
    back = own.client(transport, tenant, since=place)
    back.path = prefix + back.path
    assert (await (await back.open()).next())["data"]["outcome"] == "replayed"
    assert {message["id"] for message in await all_of_it(back)} == {
        message["id"] for message in reader.events if message["type"] == "execution-updated"
    }


async def test_a_peer_that_stops_reading_does_not_keep_a_server_from_stopping(own: Site, transport: str) -> None:
    process = await own.start(send_timeout=600)
    tenant = await own.tenant()
    execution = await tenant.begin()
    peer = StuckPeer(process.url, PATHS[transport], tenant.token(), websocket=transport == "websocket")
    async with peer as stuck:
        await stuck.read_until(CURSOR)
        await tenant.flood(execution, MESSAGES, SIZE)
        process.send_signal(signal.SIGTERM)
        await process.ended()
        await stuck.cut_off()
