"""What only a WebSocket has: ways to bring a token, messages from the client, frames, close codes."""

from typing import Any

import pytest

from tests.api.conftest import TIGHT
from tests.api.sockets import PROTOCOL, joined, socket, soon, soon_refused
from tests.support.issuer import claims, token
from tests.support.site import Site
from tests.support.subscribers import End


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
    # The execution's beginning may be behind the place as well: it was written a moment before the client came.
    await client.until("execution-updated", progress=1)


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
