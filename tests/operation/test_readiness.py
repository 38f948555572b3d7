"""`/readyz`: whoever could not let anybody in is not ready, and says why; and what is served only where it is wanted."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from api.router import create_router
from api.service import RefusedError, Service
from changefeed.settings import Settings
from tests.support.issuer import SECRET, claims, jwk, private_key, provider, token
from tests.support.scrape import scraped
from tests.support.service import LONGEST, PAUSE
from tests.support.site import Site


async def test_without_a_providers_keys_nobody_is_sent_here_and_it_says_why(own: Site) -> None:
    with provider() as issuer:
        issuer.answer = lambda request: issuer.send(request, b"", 503)
        service = own.services.begin(jwt_secret=None, jwt_jwks_url=issuer.url)
        await service.listening()
        answer = await service.readiness(503)
        async with httpx.AsyncClient(base_url=service.url) as client, asyncio.timeout(LONGEST):
            while "CHANGEFEED_JWT_JWKS_URL" not in answer.text:
                await asyncio.sleep(PAUSE)
                answer = await client.get("/readyz")
        assert answer.json()["code"] == "not-ready"
        assert any("keys that tokens are checked with" in reason for reason in answer.json()["reasons"])
        assert (await scraped(service.url)).value("ready") == 0
        # Somebody comes all the same, and his token brings the keys.
        key = private_key("ES256")
        issuer.keys, issuer.answer = [jwk(key, "1")], issuer.publish
        good = token(claims(sub=str(uuid4())), key, "ES256", kid="1")
        async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {good}"}) as client:
            assert (await client.get("/api/v1/executions")).status_code == 200
        await service.readiness(200)
        assert (await scraped(service.url)).value("ready") == 1


async def test_with_a_providers_keys_it_is_ready(own: Site) -> None:
    with provider() as issuer:
        issuer.keys = [jwk(private_key("ES256"), "1")]
        service = await own.start(jwt_secret=None, jwt_jwks_url=issuer.url)
        assert (await service.readiness(200)).json()["status"] == "ready"


async def test_metrics_are_served_only_where_their_group_is_chosen(own: Site) -> None:
    for routes, status in ((("health",), 404), (("health", "metrics"), 200)):
        app = FastAPI()
        settings = Settings(dsn=own.database.feed_dsn, jwt_secret=SECRET)
        router = create_router(settings, routes=routes)  # type: ignore[arg-type]
        app.include_router(router)
        async with router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                assert (await client.get("/metrics")).status_code == status


def test_whoever_is_refused_while_the_server_goes_is_told_when_to_come_back() -> None:
    service = Service(Settings(dsn="postgresql://nobody@127.0.0.1/nothing", jwt_secret=SECRET))
    service.draining = True
    with pytest.raises(RefusedError) as refused:
        service.arrive()
    assert [kind for kind, _ in refused.value.ending.texts()] == ["reconnect", "error"]
