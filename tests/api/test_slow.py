"""A peer that reads slowly, but reads: it gets everything, however long that takes; and nothing more once it is sent away."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.support.service import LONGEST, ServiceProcess
from tests.support.site import Site
from tests.support.stuck import StuckPeer
from tests.support.subscribers import Subscriber
from tests.support.tenant import Tenant

CHANGES = "/api/v1/changes"
PEERS: dict[str, tuple[str, str | None]] = {
    "websocket": ("/ws/dashboard", None),
    "batches": ("/ws/dashboard", "changefeed.v1"),
    "sse": ("/api/v1/events", None),
    "longpoll": (CHANGES, None),
}
"""Address and subprotocol."""
MESSAGES = 600
SIZE = 20_000
LAST = b'"progress":%d,' % (MESSAGES - 1)
SIP = 300_000
"""Bytes that are read at a time."""
SETTINGS = {"heartbeat_interval": 0.1, "send_timeout": 1, "max_replay_bytes": 1 << 30}
"""A heartbeat for each sip: the whole takes far longer than `send_timeout`, and no sip does."""


async def missed(process: ServiceProcess, tenant: Tenant) -> str:
    """Much has happened since this place."""
    execution = await tenant.begin()
    headers = {"Authorization": f"Bearer {tenant.token()}"}
    async with httpx.AsyncClient(base_url=process.url, headers=headers) as client:
        place: str = (await client.get(CHANGES)).json()["cursor"]
    update = (
        "update workflow_execution set error_message = repeat('-', $2::int), progress = $3 where id = $1::text::uuid"
    )
    async with tenant.app.transaction():
        for number in range(MESSAGES):
            await tenant.app.execute(update, execution, SIZE, number)
    return place


@asynccontextmanager
async def reading(process: ServiceProcess, tenant: Tenant, peer: str, since: str) -> AsyncIterator[StuckPeer]:
    path, subprotocol = PEERS[peer]
    address = f"{path}?topics=executions&since={since}"
    slow = StuckPeer(process.url, address, tenant.token(), websocket=path.startswith("/ws"), subprotocol=subprotocol)
    async with slow:
        yield slow


def told(taken: bytes) -> list[int]:
    """The changes that came, in order."""
    # The lengths of the chunks of an answer without an end stand between any two bytes.
    return [int(number) for number in re.findall(rb'"progress":(\d+),', re.sub(rb"\r\n[0-9a-f]+\r\n", b"", taken))]


async def sipped(peer: StuckPeer, pace: Subscriber) -> bytes:
    """All that comes up to the last change, or to the end, a sip at a heartbeat."""
    taken, sips = bytearray(), 0
    while piece := await peer.read():
        taken += piece
        if LAST in taken[-len(piece) - len(LAST) :]:
            break
        if len(taken) > sips * SIP:
            sips += 1
            await pace.until("heartbeat")
    return bytes(taken)


@pytest.mark.parametrize("peer", PEERS)
async def test_whoever_reads_slowly_gets_everything(own: Site, peer: str) -> None:
    process = await own.start(**SETTINGS)
    tenant = await own.tenant()
    since = await missed(process, tenant)
    pace = await own.joined("websocket", await own.tenant())
    async with reading(process, tenant, peer, since) as slow:
        assert told(await sipped(slow, pace)) == list(range(MESSAGES))


@pytest.mark.parametrize("peer", PEERS)
async def test_whoever_is_kicked_while_reading_is_told_no_more_than_was_under_way(own: Site, peer: str) -> None:
    process = await own.start(**SETTINGS | {"send_timeout": 60})
    tenant = await own.tenant()
    since = await missed(process, tenant)
    token = {"Authorization": f"Bearer {tenant.token()}"}
    async with reading(process, tenant, peer, since) as slow:
        # It is being sent what it has missed, and has not read most of it.
        taken = await slow.read()
        await own.feed.execute("select changefeed.kick($1)", str(tenant.id))
        async with httpx.AsyncClient(base_url=process.url, headers=token) as client, asyncio.timeout(LONGEST):
            while (await client.get("/api/v1/executions")).status_code != 403:
                pass
        while piece := await slow.read():
            taken += piece
            if b'"code":"kicked"' in taken[-len(piece) - 1000 :]:
                break
    # What the kernels had taken comes still; every message that has begun is whole, and so are the last words.
    assert len(told(taken)) < MESSAGES
    assert (b'"code":"kicked"' in taken) == (peer != "longpoll")
    if peer == "sse":
        assert b'\n\nevent: error\ndata: {"type":"error"' in re.sub(rb"\r\n[0-9a-f]+\r\n", b"", taken)
    assert "ERROR" not in process.log
