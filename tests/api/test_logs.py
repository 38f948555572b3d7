"""No token and no ticket in what the service prints, whichever way it came, good or bad, however talkative the logs."""

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import WebSocketException

from tests.support.issuer import claims, token
from tests.support.site import Site
from tests.support.subscribers import EndedError, WebSocketSubscriber

OPAQUE = "an-opaque-secret-of-no-kind-0123456789"
LEVELS = {
    "info": ["--log-level", "info"],
    "trace": ["--log-level", "trace"],
}


async def attempt(site: Site, transport: str, **more: Any) -> None:
    """Connects, whatever comes of it."""
    client = site.client(transport, None)
    client.parameters |= more.pop("parameters", {})
    client.headers |= more.pop("headers", {})
    first = more.pop("first", None)
    if isinstance(client, WebSocketSubscriber):
        client.subprotocols = more.pop("subprotocols", [])
    assert not more
    try:
        await client.open()
        if isinstance(client, WebSocketSubscriber):
            if first is not None:
                await client.say(first)
            await client.next()
            # And once it is let in, the next token.
            await client.say(first or {"type": "auth", "token": OPAQUE})
        await client.next()
    except (EndedError, WebSocketException):
        pass
    finally:
        await client.close()


@pytest.mark.parametrize("level", LEVELS)
async def test_no_token_and_no_ticket_is_ever_printed(own: Site, level: str) -> None:
    process = await own.services.begin(options=LEVELS[level], auth_timeout=0.5).ready()
    tenant = await own.tenant()
    good = tenant.token(seconds=600)
    tokens = {
        "good": good,
        "expired": tenant.token(seconds=-5),
        "of another key": token(claims(), "somebody else's secret, which is long enough"),
        "cut off": good[:-7],
        "opaque": OPAQUE,
        "huge": "A" * 17_000,
    }
    for text in tokens.values():
        for transport in ("websocket", "sse", "longpoll"):
            await attempt(own, transport, headers={"Authorization": f"Bearer {text}"})
            await attempt(own, transport, parameters={"token": text})
            await attempt(own, transport, parameters={"ticket": text})
        await attempt(own, "websocket", first={"type": "auth", "token": text})
        await attempt(own, "websocket", first=json.dumps({"token": text, "type": "nonsense"}))
        if len(text) < 8000:
            await attempt(own, "websocket", subprotocols=["changefeed.v1", "bearer", text])
            await attempt(own, "websocket", subprotocols=["bearer", text])
    async with httpx.AsyncClient(base_url=process.url) as client:
        # As a proxy or a clever browser might write it.
        await client.get(f"/api/v1/changes?wait=0&%74oken={good}")
        await client.get(f"/nowhere?access_token={OPAQUE}&token={good}")
        answer = await client.post("/api/v1/ws-ticket", headers={"Authorization": f"Bearer {good}"})
    ticket = answer.json()["ticket"]
    for _ in range(2):
        await attempt(own, "websocket", parameters={"ticket": ticket})

    process.kill()
    log = process.log
    # Something was written about all of that.
    for path in ("/ws/dashboard?", "/api/v1/events?", "/api/v1/changes?", "/nowhere?"):
        assert path in log
    secrets = {
        "ticket": ticket,
        **tokens,
        **{f"{name}, its claims": text.split(".")[1] for name, text in tokens.items() if "." in text},
        **{f"{name}, its signature": text.split(".")[2] for name, text in tokens.items() if "." in text},
    }
    assert [name for name, secret in secrets.items() if secret in log] == []


async def test_what_is_no_secret_is_printed(own: Site) -> None:
    """Otherwise the test above could be passed by a service that says nothing."""
    process = await own.start()
    client = await own.joined("sse", await own.tenant(), topics="executions", mode="state")
    await client.close()
    await process.said(r'"GET /api/v1/events\?topics=executions&mode=state HTTP/1.1" 200')
