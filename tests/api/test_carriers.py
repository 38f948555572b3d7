"""How a token comes, and what becomes of whoever brings none: header, subprotocol, first message, address, ticket."""

import json

import httpx
import pytest
from websockets.typing import Subprotocol

from tests.api.sockets import PROTOCOL, joined, socket, ticket
from tests.support.issuer import claims, token
from tests.support.site import Site


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["bearer", "TOKEN"], "bearer"),
        ([PROTOCOL, "bearer", "TOKEN"], PROTOCOL),
        (["bearer", "TOKEN", PROTOCOL], PROTOCOL),
        (["other", "bearer", "TOKEN"], "bearer"),
    ],
)
async def test_a_token_comes_as_a_subprotocol_and_is_never_the_one_selected(
    shared: Site, offered: list[str], selected: str
) -> None:
    tenant = await shared.tenant()
    client = socket(shared, None)
    client.subprotocols = [tenant.token() if name == "TOKEN" else name for name in offered]
    await client.open()
    assert (await client.next())["user_id"] == str(tenant.id)
    assert client.socket.subprotocol == Subprotocol(selected)


@pytest.mark.parametrize("path", ["/ws/dashboard", "/api/v1/stats/ws"])
async def test_a_token_comes_in_the_header_the_address_or_the_first_message(shared: Site, path: str) -> None:
    tenant = await shared.tenant()
    header, address, first = (socket(shared, who) for who in (tenant, None, None))
    address.parameters = {"token": tenant.token()}
    for client in (header, address, first):
        client.path = path
        await client.open()
        assert client.socket.subprotocol is None
    await first.say({"type": "auth", "token": tenant.token()})
    for client in (header, address, first):
        assert (await client.next())["user_id"] == str(tenant.id)


async def test_a_first_message_may_say_where_to_go_on_from(shared: Site) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client = await joined(shared, tenant)
    await tenant.move(execution, 1)
    await client.until("execution-updated", progress=1)
    await tenant.move(execution, 2)
    back = await socket(shared, None).open()
    await back.say({"type": "auth", "token": tenant.token(), "since": client.cursor})
    assert (await back.next())["data"]["outcome"] == "replayed"
    assert (await back.next())["data"]["progress"] == 2


async def test_a_token_in_the_address_is_not_looked_at_where_that_is_switched_off(tight: Site) -> None:
    tenant = await tight.tenant()
    silent, client = socket(tight, None), socket(tight, None)
    silent.parameters = client.parameters = {"token": tenant.token()}
    end = await silent.refusal()
    assert (end.error, end.code) == ("authentication-timeout", 4408)
    await client.open()
    await client.say({"type": "auth", "token": tenant.token()})
    assert (await client.next())["type"] == "ready"


async def test_a_ticket_lets_in_once_in_any_process(shared: Site) -> None:
    tenant = await shared.tenant()
    issuer, other = shared.services.running
    for process in (issuer, other):
        once = await ticket(issuer.url, tenant.token())
        client = await joined(shared, None, process.url, ticket=once)
        assert client.seen[0]["user_id"] == str(tenant.id)
        for again in (issuer, other):
            end = await socket(shared, None, again.url, ticket=once).refusal()
            assert (end.error, end.code) == ("ticket-invalid", 4401)


@pytest.mark.parametrize("transport", ["sse", "longpoll"])
async def test_a_ticket_opens_nothing_but_a_websocket(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    once = await ticket(shared.service.url, tenant.token())
    end = await shared.client(transport, None, ticket=once).refusal()
    assert (end.error, end.status) == ("token-missing", 401)
    await joined(shared, None, ticket=once)


async def test_a_ticket_costs_a_token(shared: Site) -> None:
    async with httpx.AsyncClient(base_url=shared.service.url) as client:
        answer = await client.post("/api/v1/ws-ticket")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "token-missing"


@pytest.mark.parametrize(
    ("text", "error", "code"),
    [
        ("ping", "token-missing", 4401),
        ('{"type":"ping"}', "token-missing", 4401),
        ('{"type":"subscribe"}', "token-missing", 4401),
        ("nonsense", "token-missing", 4401),
        (b"\x00\xff", "token-missing", 4401),
        ('{"type":"auth"}', "token-missing", 4401),
        ('{"type":"auth","token":"nonsense"}', "token-malformed", 4401),
        (
            json.dumps({"type": "auth", "token": token(claims(), "somebody else's secret, quite long")}),
            "token-key",
            4401,
        ),
        (json.dumps({"type": "auth", "token": token(claims(exp=1))}), "token-expired", 4410),
        (json.dumps({"type": "auth", "token": "x" * 1000}), "message-too-large", 4400),
    ],
)
async def test_a_first_message_that_brings_no_good_token_ends_the_connection(
    tight: Site, text: str | bytes, error: str, code: int
) -> None:
    client = await socket(tight, None).open()
    await client.say(text)
    end = await client.end()
    assert (end.error, end.code) == (error, code)
    assert client.kinds == ["error"]


async def test_whoever_says_nothing_is_not_waited_for(tight: Site) -> None:
    client = socket(tight, None)
    end = await client.refusal()
    assert (end.error, end.code) == ("authentication-timeout", 4408)
    assert client.seen[0]["data"]["retry"] is True


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("SELF", True),
        ("https://app.example.com", True),
        ("https://evil.example.com", False),
        ("https://app.example.com.evil.com", False),
        ("null", False),
    ],
)
@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll"])
async def test_pages_of_other_sites_are_refused(tight: Site, transport: str, origin: str | None, allowed: bool) -> None:
    tenant = await tight.tenant()
    own = tight.service.url if origin == "SELF" else origin
    client = tight.client(transport, tenant, headers={} if own is None else {"Origin": own})
    if allowed:
        await client.open()
        assert (await client.next())["type"] == "ready"
    else:
        end = await client.refusal()
        assert end.error == "origin-forbidden"
        assert (end.code, end.status) == ((4403, None) if transport == "websocket" else (None, 403))
