"""What only server-sent events have: Last-Event-ID, comments, how long a browser waits, other sites' pages."""

import asyncio
import signal

import httpx
import pytest

from api.sse import QUIET_SECONDS, block
from changefeed.cursor import Cursor
from changefeed.session import Item
from tests.support.service import PAUSE
from tests.support.site import Site
from tests.support.subscribers import LONGEST, StreamSubscriber

CURSOR = Cursor.parse("0123456789abcdef.5.0")


def test_a_message_is_a_block_with_its_type_its_place_and_its_text() -> None:
    item = Item("pong", '{"type":"pong","data":{"text":"a\\nb"}}', cursor=CURSOR)
    assert block(item) == (
        f'event: pong\nid: {CURSOR}\ndata: {{"type":"pong","data":{{"text":"a\\nb"}},"cursor":"{CURSOR}"}}\n\n'
    )
    item.cursor = None
    assert "id:" not in block(item)


def test_a_heartbeat_is_a_comment_and_a_block_without_data() -> None:
    assert block(Item("heartbeat", "{}", cursor=CURSOR)) == f": \nid: {CURSOR}\n\n"


def test_proxies_are_kept_awake_more_often_than_clients_expect_heartbeats() -> None:
    assert QUIET_SECONDS == 15


async def stream(site: Site, token: str, **headers: str) -> StreamSubscriber:
    made = site.client("sse", token, headers=headers)
    assert isinstance(made, StreamSubscriber)
    return await made.open()


async def test_last_event_id_goes_before_since(shared: Site) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client = await stream(shared, tenant.token())
    await client.next()
    places = []
    for number in (1, 2):
        await tenant.move(execution, number)
        await client.until("execution-updated", progress=number)
        places.append(str(client.last_event_id))
    back = await stream(shared, tenant.token(), **{"Last-Event-ID": places[0]})
    assert (await back.next())["data"]["outcome"] == "replayed"
    assert (await back.next())["data"]["progress"] == 2
    older = shared.client("sse", tenant, since=places[0], headers={"Last-Event-ID": places[1]})
    await older.open()
    assert (await older.next())["data"]["outcome"] == "fresh"
    for nonsense in ("nonsense", "x" * 20_000):
        lost = await stream(shared, tenant.token(), **{"Last-Event-ID": nonsense})
        assert (await lost.next())["data"]["outcome"] == "resync"


async def test_nobody_between_us_and_the_browser_may_keep_the_stream_back(shared: Site) -> None:
    tenant = await shared.tenant()
    address, headers = shared.service.url + "/api/v1/events", {"Authorization": f"Bearer {tenant.token()}"}
    async with httpx.AsyncClient() as client, client.stream("GET", address, headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answer.headers
        # A browser's first wait is short, whatever an earlier stream has said.
        assert await anext(answer.aiter_lines()) == "retry: 2000"


async def test_a_browser_that_is_sent_away_waits_as_long_as_the_others_are_told_to(own: Site) -> None:
    process = await own.start()
    tenant = await own.tenant()
    client = await stream(own, tenant.token())
    await client.next()
    process.send_signal(signal.SIGTERM)
    advice = await client.until("reconnect")
    assert client.retry == advice["data"]["after_ms"]
    assert (await client.end()).error == "restart"


async def test_a_page_of_an_allowed_site_may_ask_and_read_the_place(tight: Site) -> None:
    asking = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    wanted = {"Access-Control-Request-Headers": "authorization,last-event-id"}
    async with httpx.AsyncClient(base_url=tight.service.url) as client:
        allowed = await client.options("/api/v1/events", headers=asking | wanted)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
        refused = await client.options("/api/v1/events", headers=asking | {"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in refused.headers
        answer = await client.get("/healthz", headers=asking)
        assert "X-Changefeed-Cursor" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("transport", ["sse", "longpoll"])
async def test_a_peer_that_goes_is_noticed_while_there_is_nothing_to_say(own: Site, transport: str) -> None:
    await own.start()
    tenant = await own.tenant()
    client = await own.joined(transport, tenant)
    waiting = asyncio.create_task(client.next())
    await visitors(own, 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await client.close()
    await visitors(own, 0)


async def visitors(site: Site, number: int) -> None:
    """Waits until the service has so many connections."""
    async with httpx.AsyncClient(base_url=site.service.url) as client, asyncio.timeout(LONGEST):
        while True:
            if f"changefeed_visitors {number:.1f}" in (await client.get("/metrics")).text.splitlines():
                return
            await asyncio.sleep(PAUSE)
