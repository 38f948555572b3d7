"""`create_router` inside a host's own application: its prefix, its identities, and everything else left as it was."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from api.router import create_router
from changefeed.errors import ConfigurationError
from changefeed.settings import Settings
from tests.support.database import Database, Databases
from tests.support.service import Services, services
from tests.support.site import Site, site
from tests.support.subscribers import TRANSPORTS, StreamSubscriber, Subscriber, WebSocketSubscriber
from tests.support.tenant import Tenant

HOST = "tests.support.hosted:asgi"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def common_host(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """A host with the router inside, which knows nothing of tokens."""
    async with embedded.clone(migrated=True) as database:
        with services(database.feed_dsn) as running:
            await running.begin(HOST, jwt_secret=None).listening()
            yield database, running


@pytest.fixture
async def host(common_host: tuple[Database, Services]) -> AsyncIterator[Site]:
    """The host that tests share."""
    async with site(*common_host) as found:
        yield found


def guest(host: Site, transport: str, user: str, **more: str) -> Subscriber:
    """A client of the host's, who is known by the host's own header."""
    headers = {"X-User": user} | {f"X-{name.replace('_', '-')}": value for name, value in more.items()}
    client = host.client(transport, None, headers=headers)
    # The paths are the class's: this one's are under the prefix.
    client.path = "/live" + client.path
    return client


async def joined(host: Site, transport: str, tenant: Tenant, **more: str) -> Subscriber:
    client = await guest(host, transport, str(tenant.id), **more).open()
    assert (await client.next())["type"] == "ready"
    return client


async def test_the_hosts_own_routes_errors_and_lifespan_stay_as_they_were(host: Site) -> None:
    async with httpx.AsyncClient(base_url=host.service.url) as client:
        assert (await client.get("/things/7")).json() == {"number": 7, "lived": ["started"]}
        assert (await client.get("/api/v1/events")).json() == {"events": "the host's own"}
        wrong = await client.get("/things/seven")
        assert wrong.status_code == 422
        assert wrong.json()["detail"][0]["loc"] == ["path", "number"]
        assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}
        assert (await client.get("/readyz")).status_code == 404
        # Ours are problem documents, also there.
        ours = await client.get("/live/api/v1/changes", params={"wait": "long"}, headers={"X-User": "somebody"})
        assert (ours.status_code, ours.headers["content-type"]) == (400, "application/problem+json")
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert set(paths) == {
            "/things/{number}",
            "/api/v1/events",
            *(f"/live/api/v1/{name}" for name in ("events", "changes", "ws-ticket")),
            *(f"/live/{name}" for name in ("healthz", "readyz", "metrics")),
        }


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_whoever_the_host_knows_gets_his_own_rows(host: Site, transport: str) -> None:
    tenant, other = await host.tenant(), await host.tenant()
    client, stranger = await joined(host, transport, tenant), await joined(host, transport, other)
    ready = client.seen[0]["data"]
    assert (ready["user_id"], ready["admin"], ready["token_expires_at"]) == (str(tenant.id), False, None)
    execution = await tenant.begin()
    fence = await other.begin()
    await client.until("execution-started", execution_id=execution)
    await stranger.until("execution-started", execution_id=fence)
    assert len(stranger.events) == 1


@pytest.mark.parametrize(
    ("user", "error", "code", "status"),
    [
        ("nobody", "authentication-refused", 4401, 401),
        ("banned", "access-forbidden", 4403, 403),
        ("broken", "internal", 4500, 503),
    ],
)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_whom_the_host_refuses_is_refused_with_the_code_that_goes_with_it(
    host: Site, transport: str, user: str, error: str, code: int, status: int
) -> None:
    end = await guest(host, transport, user).refusal()
    assert end.error == error
    assert (end.code, end.status) == ((code, None) if transport == "websocket" else (None, status))


async def test_a_token_is_good_for_nothing_where_the_host_alone_says_who_somebody_is(host: Site) -> None:
    tenant = await host.tenant()
    client = host.client("sse", tenant)
    client.path = "/live" + client.path
    end = await client.refusal()
    assert (end.error, end.status) == ("token-algorithm", 401)


async def test_a_token_lets_in_whom_the_host_does_not_know_where_there_is_a_key(own: Site) -> None:
    await own.services.begin(HOST).listening()
    tenant = await own.tenant()
    client = own.client("websocket", tenant)
    client.path = "/live" + client.path
    await client.open()
    assert (await client.next())["user_id"] == str(tenant.id)


async def test_a_ticket_is_the_hosts_identity_once_more(host: Site) -> None:
    tenant = await host.tenant()
    async with httpx.AsyncClient(base_url=host.service.url) as http:
        answer = await http.post("/live/api/v1/ws-ticket", headers={"X-User": str(tenant.id)})
    client = host.client("websocket", None, ticket=answer.json()["ticket"])
    client.path = "/live" + client.path
    await client.open()
    assert (await client.next())["user_id"] == str(tenant.id)


async def test_a_kick_reaches_the_hosts_users_until_they_sign_in_again(host: Site) -> None:
    tenant = await host.tenant()
    client = await joined(host, "websocket", tenant, signed_in_at=str(time.time()))
    await host.feed.execute("select changefeed.kick($1)", str(tenant.id))
    assert (await client.end()).error == "kicked"
    before = guest(host, "websocket", str(tenant.id), signed_in_at="0")
    assert (await before.refusal()).error == "token-revoked"
    now = await host.feed.fetchval("select extract(epoch from clock_timestamp())::text")
    await joined(host, "websocket", tenant, signed_in_at=now)


async def test_a_host_that_stops_sends_everybody_away_and_does_not_wait_for_streams_without_end(own: Site) -> None:
    process = await own.services.begin(HOST, jwt_secret=None).listening()
    tenant = await own.tenant()
    clients = [await joined(own, transport, tenant) for transport in TRANSPORTS]
    ends = asyncio.gather(*(client.end() for client in clients))
    process.send_signal(signal.SIGTERM)
    # A long poll may have been between two questions, and finds nobody any more.
    assert {end.error for end in await ends} <= {"restart", None}
    for client in clients:
        if isinstance(client, WebSocketSubscriber | StreamSubscriber):
            assert client.kinds[-2:] == ["reconnect", "error"]
    await process.ended()
    assert "the host's own lifespan has ended" in process.log


def test_groups_of_routes_can_be_left_out() -> None:
    settings = Settings(dsn="postgresql://nobody@127.0.0.1/nothing", jwt_secret="x" * 32)
    router = create_router(settings, routes=["health"])
    assert {getattr(route, "path", "") for route in router.routes} == {"/healthz", "/readyz"}


def test_a_router_that_could_let_nobody_in_is_refused() -> None:
    settings = Settings(dsn="postgresql://nobody@127.0.0.1/nothing", jwt_secret=None)
    with pytest.raises(ConfigurationError, match="CHANGEFEED_JWT_SECRET"):
        create_router(settings)
