"""Every kind of bad token, by every way that one can come: each gets its documented code, and no part of it is shown again.

The service trusts a public key, an audience and an issuer.
"""

import base64
import hashlib
import hmac
import time
from typing import Any

import httpx
import pytest

from tests.support.client import End
from tests.support.issuer import claims, private_key, public_pem, segment, token
from tests.support.site import Site
from tests.support.subscribers import WebSocketSubscriber

RSA, OTHER = private_key("RS256"), private_key("RS256", 1)
AUDIENCE, ISSUER = "the-dashboard", "https://issuer.example"
GOOD = {"sub": "7d2f4c1a-0b7e-4f53-9a7e-5f6f0c5c2b11", "aud": AUDIENCE, "iss": ISSUER}


def signed(key: Any = RSA, algorithm: str = "RS256", **changes: Any) -> str:
    return token(claims(**(GOOD | changes)), key, algorithm)


def with_the_public_key() -> str:
    """What somebody makes who has read the public key, and hopes that it is taken for a secret."""
    parts = f"{segment({'alg': 'HS256', 'typ': 'JWT'})}.{segment(claims(**GOOD))}"
    mac = hmac.new(public_pem(RSA).encode(), parts.encode(), hashlib.sha256).digest()
    return f"{parts}.{segment(mac)}"


def tampered() -> str:
    header, _, signature = signed().split(".")
    return f"{header}.{segment(claims(**(GOOD | {'sub': 'somebody-elses-subject'})))}.{signature}"


def bad() -> dict[str, tuple[str, str]]:
    """By name: the token, and its code in docs/authentication.md."""
    now = int(time.time())
    header, payload, signature = signed().split(".")
    noise = base64.urlsafe_b64encode(bytes(range(97, 220))).decode()
    return {
        "expired": (signed(exp=now - 60, iat=now - 600), "token-expired"),
        "never expires": (signed(exp=...), "token-malformed"),
        "not yet valid": (signed(nbf=now + 3600), "token-not-yet-valid"),
        "issued in the future": (signed(iat=now + 3600), "token-not-yet-valid"),
        "another audience": (signed(aud="another-dashboard"), "token-audience"),
        "no audience": (signed(aud=...), "token-audience"),
        "another issuer": (signed(iss="https://issuer.example.org"), "token-issuer"),
        "no issuer": (signed(iss=...), "token-issuer"),
        "another key": (signed(OTHER), "token-key"),
        "tampered with": (tampered(), "token-key"),
        "without its signature": (f"{header}.{payload}.", "token-key"),
        "algorithm none": (f"{segment({'alg': 'none'})}.{payload}.", "token-algorithm"),
        "algorithm None with a signature": (f"{segment({'alg': 'None'})}.{payload}.{signature}", "token-algorithm"),
        "HS256 with the public key": (with_the_public_key(), "token-algorithm"),
        "an algorithm of another kind of key": (signed(private_key("ES256"), "ES256"), "token-algorithm"),
        "no subject": (signed(sub=...), "token-subject"),
        "an empty subject": (signed(sub=""), "token-subject"),
        "a subject that is null": (signed(sub=None), "token-subject"),
        "huge": (signed(filler="x" * 20_000), "token-too-large"),
        "cut off": (f"{header}.{payload}", "token-malformed"),
        "no token at all": (f"opaque.{noise}", "token-malformed"),
        "noise in three parts": (f"{noise}.{noise[::-1]}.{noise}", "token-malformed"),
    }


async def rest(client: httpx.AsyncClient, method: str, path: str, text: str) -> End:
    answer = await client.request(method, path, headers={"Authorization": f"Bearer {text}"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return End(problem["code"], status=answer.status_code, detail=answer.text)


async def queried(site: Site, transport: str, text: str) -> End:
    client = site.client(transport, None)
    client.parameters["token"] = text
    return await client.refusal()


async def refreshed(site: Site, text: str, good: str) -> End:
    """Let in with a good one, and then this."""
    client = await site.joined("websocket", good)
    assert isinstance(client, WebSocketSubscriber)
    await client.say({"type": "auth", "token": text})
    return await client.end()


async def said_first(site: Site, text: str) -> End:
    client = site.client("websocket", None)
    assert isinstance(client, WebSocketSubscriber)
    await client.open()
    await client.say({"type": "auth", "token": text})
    return await client.end()


async def offered(site: Site, text: str) -> End:
    client = site.client("websocket", None)
    assert isinstance(client, WebSocketSubscriber)
    client.subprotocols = ["changefeed.v1", "bearer", text]
    return await client.refusal()


@pytest.mark.parametrize("level", ["info", "trace"])
async def test_each_bad_token_gets_its_code_by_every_way_and_none_is_printed(own: Site, level: str) -> None:
    process = own.services.begin(
        options=["--log-level", level],
        jwt_secret=None,
        jwt_public_key=public_pem(RSA),
        jwt_audience=AUDIENCE,
        jwt_issuer=ISSUER,
        max_user_connections=1000,
    )
    await process.ready()
    tokens, good = bad(), signed()
    found: dict[tuple[str, str], End] = {}
    async with httpx.AsyncClient(base_url=process.url) as client:
        answer = await client.get("/api/v1/stats/dashboard", headers={"Authorization": f"Bearer {good}"})
        assert answer.status_code == 200, "the good one is good"
        for name, (text, _) in tokens.items():
            for transport in ("websocket", "sse", "longpoll"):
                found[name, f"{transport}, header"] = await own.client(transport, text).refusal()
                found[name, f"{transport}, query"] = await queried(own, transport, text)
            if len(text) < 8000:  # what a client can say in a header of this name
                found[name, "subprotocol"] = await offered(own, text)
            found[name, "first message"] = await said_first(own, text)
            found[name, "refresh"] = await refreshed(own, text, good)
            found[name, "REST"] = await rest(client, "GET", "/api/v1/executions", text)
            found[name, "ticket"] = await rest(client, "POST", "/api/v1/ws-ticket", text)
        metrics = (await client.get("/metrics")).text

    wrong = {
        (name, way): (end.error, end.code, end.status)
        for (name, way), end in found.items()
        if end.error != tokens[name][1] or (end.code, end.status) not in allowed(tokens[name][1])
    }
    assert wrong == {}

    process.kill()
    said = process.log + metrics + "".join(end.detail for end in found.values())
    for path in ("/ws/dashboard", "/api/v1/events", "/api/v1/changes", "/api/v1/executions", "/api/v1/ws-ticket"):
        assert path in process.log
    # Wherever in it one would look: no sixteen letters of any.
    pieces = {
        text[at : at + 16]
        for text in [good, *(bad for bad, _ in tokens.values())]
        for at in range(0, len(text) - 15, 5)
    }
    assert len(pieces) > 1000
    assert [piece for piece in pieces if piece in said] == []


def allowed(code: str) -> list[tuple[int | None, int | None]]:
    """The close code over a WebSocket; the status over HTTP."""
    return [(4410 if code == "token-expired" else 4401, None), (None, 401)]
