"""Whatever a client sends, it is answered: no crash, no traceback, nothing that is our fault."""

import json

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.site import Site
from tests.support.subscribers import WebSocketSubscriber

often = settings(
    max_examples=60,
    deadline=None,
    # The process is the same for all examples, on purpose.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


text = st.text(st.characters(exclude_categories=["Cs"]))
words = st.sampled_from(
    [
        "type",
        "token",
        "topics",
        "since",
        "mode",
        "min_interval",
        "ping",
        "auth",
        "subscribe",
        "unsubscribe",
        "executions",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | text, inner, max_size=4),
    max_leaves=12,
)
members = {
    "topics": st.lists(st.sampled_from(["executions", "agent-tasks", "rows:public.agent_task", "nope"]) | text),
    "since": text | st.just("0123456789abcdef.5.0"),
    "mode": st.sampled_from(["log", "state", "LOG"]),
    "min_interval": st.integers(-1, 60_001),
}
structured = st.builds(
    lambda kind, given: {"type": kind, **given},
    st.sampled_from(["ping", "subscribe", "unsubscribe", "pong", "Ping"]),
    st.fixed_dictionaries({}, optional={name: kind | values for name, kind in members.items()}),
)
said = st.one_of(text, st.binary(), values.map(json.dumps), structured.map(json.dumps), st.just("ping"))


@often
@given(messages=st.lists(said, min_size=1, max_size=6))
async def test_any_messages_are_answered_and_the_connection_lives_on(fuzzed: Site, messages: list[str | bytes]) -> None:
    client = fuzzed.client("websocket", await fuzzed.tenant())
    assert isinstance(client, WebSocketSubscriber)
    try:
        assert (await (await client.open()).next())["type"] == "ready"
        for message in messages:
            await client.say(message)
        # Nothing of the above can answer with this place.
        await client.say({"type": "subscribe", "topics": [], "min_interval": 59_999})
        while True:
            answer = await client.next()
            if answer["type"] == "subscribed" and answer["data"]["min_interval"] == 59_999:
                break
        assert set(client.kinds) <= {"ready", "pong", "error", "subscribed", "resync", "heartbeat"}
        errors = {message["data"]["code"] for message in client.seen if message["type"] == "error"}
        assert errors <= {"message-invalid", "topic-unknown"}
    finally:
        await client.close()


renewals = st.one_of(
    st.builds(
        lambda token, more: {"type": "auth", "token": token, **more}, text | values, st.dictionaries(words, values)
    ),
    st.builds(lambda token: {"type": "auth", "token": token}, st.integers(1, 30_000).map(lambda size: "e30." * size)),
)


@often
@given(message=renewals.map(json.dumps))
async def test_any_renewal_of_a_token_is_answered(fuzzed: Site, message: str) -> None:
    client = fuzzed.client("websocket", await fuzzed.tenant())
    assert isinstance(client, WebSocketSubscriber)
    try:
        assert (await (await client.open()).next())["type"] == "ready"
        await client.say(message)
        error = await client.until("error")
        if error["data"]["code"] == "message-invalid":
            await client.say("ping")
            await client.until("pong")
        else:
            end = await client.end()
            assert (end.error or "").startswith("token-") or end.error == "message-too-large"
            assert end.code == (4400 if end.error == "message-too-large" else 4401)
    finally:
        await client.close()


@often
@given(message=said | st.builds(lambda token: json.dumps({"type": "auth", "token": token}), text))
async def test_any_first_message_is_answered(fuzzed: Site, message: str | bytes) -> None:
    client = fuzzed.client("websocket", None)
    assert isinstance(client, WebSocketSubscriber)
    try:
        await client.open()
        await client.say(message)
        end = await client.end()
    finally:
        await client.close()
    assert (end.code, (end.error or "").partition("-")[0]) == (4401, "token")


parameters = st.fixed_dictionaries(
    {},
    optional={
        "since": text,
        "topics": text | st.lists(words).map(",".join),
        "mode": text | st.sampled_from(["log", "state"]),
        "min_interval": text | st.integers(0, 60_000).map(str),
        "token": text,
        "ticket": text,
        "wait": text | st.floats().map(str) | st.just("0"),
    },
)


@often
@given(query=parameters, path=st.sampled_from(["/api/v1/changes", "/api/v1/events"]), known=st.booleans())
async def test_any_parameters_are_answered_with_messages_or_a_problem_document(
    fuzzed: Site, query: dict[str, str], path: str, known: bool
) -> None:
    headers = {"Authorization": f"Bearer {(await fuzzed.tenant()).token()}"} if known else {}
    # Long enough to wait for is nobody's wish here.
    query = {"wait": "0"} | query
    async with (
        httpx.AsyncClient(base_url=fuzzed.service.url, verify=False) as client,
        client.stream("GET", path, params=query, headers=headers) as answer,
    ):
        if answer.status_code == 200:
            # Without a token in a header, one that was made up let somebody in.
            assert known
            return
        await answer.aread()
        assert answer.status_code in (400, 401, 403)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] != "internal"


names = st.sampled_from(["Authorization", "Origin", "Last-Event-ID", "Host"])


@often
@given(headers=st.dictionaries(names, st.binary(max_size=60)))
async def test_any_headers_are_answered(fuzzed: Site, headers: dict[str, bytes]) -> None:
    # What the client at hand refuses to send stays away.
    sent = [(name, bytes(byte for byte in value if byte > 32 and byte != 127)) for name, value in headers.items()]
    async with httpx.AsyncClient(base_url=fuzzed.service.url, verify=False) as client:
        answer = await client.get("/api/v1/changes?wait=0", headers=[(name.encode(), value) for name, value in sent])
    assert answer.status_code in (400, 401, 403)
    assert "internal" not in answer.text
