"""What only a WebSocket has: ways to bring a token, messages from the client, frames, close codes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.typing import Subprotocol

from tests.api.conftest import TIGHT
from tests.support.issuer import claims, token
from tests.support.service import PAUSE
from tests.support.site import Site
from tests.support.subscribers import LONGEST, End, EndedError, WebSocketSubscriber
from tests.support.tenant import Tenant

PROTOCOL = "changefeed.v1"


def socket(site: Site, who: Tenant | str | None, url: str | None = None, **more: Any) -> WebSocketSubscriber:
    """A client, not yet connected."""
    made = site.client("websocket", who, url, **more)
    assert isinstance(made, WebSocketSubscriber)
    return made


async def joined(site: Site, who: Tenant | str | None, url: str | None = None, **more: Any) -> WebSocketSubscriber:
    """A client that has been greeted."""
    client = await socket(site, who, url, **more).open()
    assert (await client.next())["type"] == "ready"
    return client


async def ticket(url: str, bearer: str) -> str:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/api/v1/ws-ticket", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


async def soon(attempt: Callable[[], Awaitable[WebSocketSubscriber]]) -> WebSocketSubscriber:
    """Tries until it works: the server hears of a disconnect when it hears of it."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await attempt()
            except (AssertionError, EndedError):
                await asyncio.sleep(PAUSE)


# --- bringing a token ---


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


# --- what a client says ---


@pytest.mark.parametrize("text", ["ping", '{"type":"ping"}', '{ "type" : "ping" }'])
async def test_a_ping_is_answered(shared: Site, text: str) -> None:
    client = await joined(shared, await shared.tenant())
    await client.say(text)
    pong = await client.next()
    assert (pong["type"], pong["data"]) == ("pong", {})


async def test_nonsense_is_answered_and_only_repeated_nonsense_ends_the_connection(tight: Site) -> None:
    tenant = await tight.tenant()
    client = await joined(tight, tenant)
    nonsense = ["nonsense", b"binary", '{"type":"subscribe","mode":"fast"}', '{"type":"pong"}', "[]", "1e999"]
    for number, text in enumerate(nonsense, start=1):
        await client.say(text)
        error = await client.next()
        assert (error["type"], error["data"]["code"], error["data"]["retry"]) == ("error", "message-invalid", False)
        if number % 3 == 0:
            # Whatever is understood starts the count again: the fourth in a row is too many.
            await client.say("ping")
            await client.until("pong")
    for _ in range(4):
        await client.say("nonsense")
    end = await client.end()
    assert (end.error, end.code) == ("too-many-errors", 4400)


async def test_a_misspelt_member_is_refused_and_named(shared: Site) -> None:
    client = await joined(shared, await shared.tenant())
    await client.say({"type": "subscribe", "topic": ["executions"]})
    error = await client.next()
    assert "topic" in error["data"]["message"]
    assert error["data"]["message"].endswith("Send ping, auth, subscribe or unsubscribe, as JSON.")


async def test_a_message_that_is_too_large_ends_the_connection(tight: Site) -> None:
    client = await joined(tight, await tight.tenant())
    limit = client.seen[0]["data"]["limits"]["max_message_bytes"]
    assert limit == TIGHT["max_message_bytes"]
    # In bytes, not in letters.
    await client.say("ü" * (limit // 2))
    assert (await client.next())["data"]["code"] == "message-invalid"
    await client.say("ü" * (limit // 2) + "x")
    end = await client.end()
    assert (end.error, end.code) == ("message-too-large", 4400)


async def test_who_says_too_much_is_told_when_to_come_back(tight: Site) -> None:
    client = await joined(tight, await tight.tenant())
    many = client.seen[0]["data"]["limits"]["max_messages_per_minute"] + 1
    for _ in range(many):
        await client.say("ping")
    end = await client.end()
    assert (end.error, end.code) == ("too-many-messages", 4429)
    assert client.seen[-1]["data"]["retry_after"] == 5


async def test_subscribing_replaces_what_it_names_and_is_answered_in_order(shared: Site) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client = await joined(shared, tenant)
    everything = client.seen[0]["data"]["topics"]
    # One behind the other, without waiting for the answers.
    await client.say({"type": "subscribe", "topics": ["executions", "agent-tasks"], "mode": "state"})
    await client.say({"type": "unsubscribe", "topics": ["executions", "nope"]})
    await client.say({"type": "subscribe", "min_interval": 5})
    await client.say({"type": "subscribe", "topics": []})
    await client.say({"type": "subscribe", "topics": ["nope"]})
    answers = [await client.until("subscribed") for _ in range(4)]
    assert [answer["data"]["topics"] for answer in answers] == [
        ["agent-tasks", "executions"],
        ["agent-tasks"],
        ["agent-tasks"],
        [],
    ]
    assert [answer["data"]["mode"] for answer in answers] == ["state"] * 4
    assert [answer["data"]["min_interval"] for answer in answers] == [0, 0, 5, 5]
    assert (await client.until("error"))["data"]["code"] == "topic-unknown"
    await tenant.move(execution, 1)
    await client.say({"type": "subscribe", "topics": everything, "since": client.cursor, "min_interval": 0})
    again = await client.until("subscribed")
    assert again["data"]["topics"] == sorted(everything)
    assert again["data"]["outcome"] == "replayed"
    assert (await client.next())["data"]["progress"] == 1


async def test_frames_hold_several_messages_for_clients_of_the_protocol_alone(shared: Site) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    place = (await joined(shared, tenant)).cursor
    async with shared.app.transaction():
        for number in range(1, 251):
            await tenant.move(execution, number)
    for subprotocols in ([PROTOCOL, "bearer"], ["bearer"], []):
        client = socket(shared, tenant, since=place)
        client.subprotocols = subprotocols
        await client.open()
        await client.until("execution-updated", progress=250)
        numbers = [m["data"]["progress"] for m in client.events if m["type"] == "execution-updated"]
        assert numbers == list(range(1, 251))
        arrays = [frame for frame in client.frames if frame.startswith("[")]
        assert bool(arrays) == (PROTOCOL in subprotocols)
        # The last of them carries the place.
        assert "cursor" in client.seen[-1]


# --- a token that is renewed ---


async def test_a_token_is_renewed_in_place_with_owners_and_role_anew(tight: Site) -> None:
    tenant = await tight.tenant()
    client = await joined(tight, tenant.token(seconds=30, role="admin", org="acme"))
    ready = client.seen[0]["data"]
    assert ready["admin"]
    assert "system-metrics" in ready["topics"]
    # It expires within a minute, of which it is told.
    await client.until("token-expiring")
    await client.say({"type": "subscribe", "topics": ["rows:public.memo", "system-metrics"]})
    # Also what was asked for a moment before is not granted to who is no admin any more.
    await client.say({"type": "auth", "token": tenant.token(org="else")})
    renewed = [await client.until("subscribed") for _ in range(2)][-1]["data"]
    assert not renewed["admin"]
    assert renewed["topics"] == ["rows:public.memo"]
    assert renewed["token_expires_at"] > ready["token_expires_at"]
    await tight.app.execute("insert into memo values (1, 'acme'), (2, 'else')")
    assert (await client.until("row-changed"))["user_id"] == "else"
    await client.say({"type": "subscribe", "topics": ["system-metrics"]})
    assert (await client.until("error"))["data"]["code"] == "topic-forbidden"
    # And it did not expire, nor is it said again that it will.
    assert client.kinds.count("token-expiring") == 1
    await tight.app.execute("delete from memo")


@pytest.mark.parametrize(
    ("other", "error", "code"),
    [
        ({"sub": "somebody-else"}, "token-other-user", 4401),
        ({"exp": 1}, "token-expired", 4410),
        ({"sub": ...}, "token-subject", 4401),
    ],
)
async def test_another_users_token_or_a_bad_one_ends_the_connection(
    shared: Site, other: dict[str, Any], error: str, code: int
) -> None:
    tenant = await shared.tenant()
    client = await joined(shared, tenant)
    await client.say({"type": "auth", "token": token(claims(**{"sub": str(tenant.id), **other}))})
    end = await client.end()
    assert (end.error, end.code) == (error, code)


# --- too many ---


async def test_a_user_has_so_many_connections_and_every_end_gives_one_back(tight: Site) -> None:
    tenant, other = await tight.tenant(), await tight.tenant()
    most: int = TIGHT["max_user_connections"]
    clients = [await joined(tight, tenant) for _ in range(most)]
    client = socket(tight, tenant)
    end = await client.refusal()
    assert (end.error, end.code) == ("too-many-connections", 4409)
    assert client.seen[-1]["data"]["retry_after"] == 5
    await joined(tight, other)

    await clients[0].close()
    clients[1].socket.transport.abort()
    await clients[2].say(b"binary")
    for _ in range(TIGHT["max_errors"]):
        await clients[2].say("nonsense")
    await clients[2].end()
    # Nor do those keep one who were never let in.
    refusals = [{"topics": "nope"}, {"mode": "fast"}, {"topics": "system-metrics"}]
    ends: list[End] = [await soon_refused(tight, tenant, **more) for more in refusals]
    assert [end.code for end in ends] == [4400, 4400, 4403]
    for _ in range(most):
        await soon(lambda: joined(tight, tenant))


async def soon_refused(site: Site, who: Tenant, **more: str) -> End:
    """How a connection is refused, once there is room for it."""
    async with asyncio.timeout(LONGEST):
        while True:
            end = await socket(site, who, **more).refusal()
            if end.error != "too-many-connections":
                return end
            await asyncio.sleep(PAUSE)


async def test_a_process_has_so_many_connections_also_of_those_who_have_not_said_who_they_are(own: Site) -> None:
    await own.start(max_connections=2)
    tenant = await own.tenant()
    silent = await socket(own, None).open()
    await joined(own, tenant)
    for transport, code, status in (("websocket", 4409, None), ("sse", None, 429), ("longpoll", None, 429)):
        end = await own.client(transport, tenant).refusal()
        assert (end.error, end.code, end.status) == ("too-many-connections", code, status)
    await silent.say("nonsense")
    assert (await silent.end()).error == "token-missing"
    await soon(lambda: joined(own, tenant))
