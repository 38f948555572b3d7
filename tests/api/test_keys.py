"""Published keys, over real HTTP: rotation, outages, nonsense, and what forged tokens can make us ask."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from api.keys import FRESH, MAX_BYTES, REQUESTS_PER_MINUTE, STALE, KeySet
from api.tokens import TokenVerifier
from changefeed.errors import AuthenticationError
from changefeed.settings import Settings
from tests.support.issuer import Provider, claims, jwk, private_key, segment, token
from tests.support.issuer import provider as open_provider

PAUSE = 60 / REQUESTS_PER_MINUTE
OLD, NEW = private_key("ES256"), private_key("ES256", 2)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with open_provider() as served:
        served.keys = [jwk(OLD, "old")]
        yield served


@pytest.fixture
def verifier(provider: Provider, clock: Clock) -> TokenVerifier:
    return verifier_of(provider.url, clock)


def verifier_of(url: str, clock: Clock, timeout: float = 30.0) -> TokenVerifier:
    # Patient, because a machine under load is slow: a test that wants an impatient one says so.
    return TokenVerifier(Settings(jwt_jwks_url=url), keys=KeySet(url, timeout=timeout, clock=clock))


def of(key: Any, kid: str | None, algorithm: str = "ES256") -> str:
    return token(claims(), key, algorithm, **({} if kid is None else {"kid": kid}))


async def accepts(verifier: TokenVerifier, text: str) -> bool:
    return (await verifier.verify(text)).user_id == "user-1"


async def refusal(verifier: TokenVerifier, text: str) -> str:
    with pytest.raises(AuthenticationError) as refused:
        await verifier.verify(text)
    assert refused.value.retry is (refused.value.code == "keys-unavailable")
    return refused.value.code


async def test_a_key_set_is_fetched_once_and_again_when_it_is_no_longer_fresh(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    assert await verifier.prepare()
    for _ in range(3):
        assert await accepts(verifier, of(OLD, "old"))
    clock.now += FRESH - 1
    assert await accepts(verifier, of(OLD, "old"))
    assert provider.requests == 1
    clock.now += 1
    assert await accepts(verifier, of(OLD, "old"))
    assert provider.requests == 2


async def test_a_new_key_is_found_at_once_and_a_withdrawn_one_is_gone(
    provider: Provider, verifier: TokenVerifier
) -> None:
    for key, kid in ((OLD, "old"), (NEW, "new"), (OLD, "old again")):
        provider.keys = [jwk(key, kid)]
        assert await accepts(verifier, of(key, kid))
    assert await refusal(verifier, of(OLD, "old")) == "token-key"
    assert provider.requests == 4


async def test_forged_key_ids_cause_few_requests_and_harm_nobody_else(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    assert await accepts(verifier, of(OLD, "old"))
    codes = [await refusal(verifier, of(NEW, f"forged-{number}")) for number in range(50)]
    assert codes == ["token-key"] * (REQUESTS_PER_MINUTE - 1) + ["keys-unavailable"] * (51 - REQUESTS_PER_MINUTE)
    assert provider.requests == REQUESTS_PER_MINUTE
    assert await accepts(verifier, of(OLD, "old"))
    provider.keys.append(jwk(NEW, "new"))
    assert await refusal(verifier, of(NEW, "new")) == "keys-unavailable"
    clock.now += PAUSE
    assert await accepts(verifier, of(NEW, "new"))
    assert provider.requests == REQUESTS_PER_MINUTE + 1


async def test_a_token_that_no_published_key_could_have_signed_causes_no_request(
    provider: Provider, verifier: TokenVerifier
) -> None:
    parts = f"{segment({'alg': 'none'})}.{segment(claims())}"
    for text in (f"{parts}.", token(claims(), kid="old"), "garbage"):
        code = await refusal(verifier, text)
        assert code in ("token-algorithm", "token-malformed")
    assert provider.requests == 0


async def test_many_tokens_at_once_make_one_request(provider: Provider, verifier: TokenVerifier) -> None:
    go_on = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        go_on.wait()
        provider.publish(request)

    provider.answer = answer
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(accepts(verifier, of(OLD, "old"))) for _ in range(20)]
        await asyncio.to_thread(provider.arrived.wait)
        go_on.set()
    assert all(task.result() for task in waiting)
    assert provider.requests == 1


async def test_a_client_that_goes_away_takes_nobody_elses_request_with_it(
    provider: Provider, verifier: TokenVerifier
) -> None:
    go_on = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        go_on.wait()
        provider.publish(request)

    provider.answer = answer
    first = asyncio.create_task(accepts(verifier, of(OLD, "old")))
    await asyncio.to_thread(provider.arrived.wait)
    second = asyncio.create_task(accepts(verifier, of(OLD, "old")))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go_on.set()
    assert await second
    assert provider.requests == 1


def failing(request: BaseHTTPRequestHandler) -> None:
    Provider.send(request, b"{}", status=503)


def elsewhere(request: BaseHTTPRequestHandler) -> None:
    Provider.send(request, b"", status=302, Location="file:///etc/hostname")


def to_itself(request: BaseHTTPRequestHandler) -> None:
    Provider.send(request, b"", status=301, Location=request.path + "?again")


def hanging_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


def answering(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda request: Provider.send(request, body)


NONSENSE = {
    "an error": failing,
    "a redirect to a file": elsewhere,
    "a redirect": to_itself,
    "no answer": hanging_up,
    "nothing": answering(b""),
    "HTML": answering(b"<html>"),
    "other letters": answering(b"\xff\xfe\xfd"),
    "a list": answering(b"[]"),
    "no keys": answering(b"{}"),
    "keys that are no list": answering(b'{"keys": {}}'),
    "a bomb": answering(b"[" * 100_000),
    "too much": answering(b" " * MAX_BYTES + b'{"keys": []}'),
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_a_provider_that_fails_costs_nobody_the_keys_it_has_published(
    provider: Provider, verifier: TokenVerifier, clock: Clock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await accepts(verifier, of(OLD, "old"))
    provider.answer = NONSENSE[kind]
    clock.now += FRESH
    for _ in range(20):
        assert await accepts(verifier, of(OLD, "old"))
    assert provider.requests == 1 + REQUESTS_PER_MINUTE
    warnings = [record.name for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["changefeed.keys"] * REQUESTS_PER_MINUTE
    clock.now += STALE
    assert await refusal(verifier, of(OLD, "old")) == "keys-unavailable"
    provider.answer = provider.publish
    clock.now += PAUSE
    assert await accepts(verifier, of(OLD, "old"))


async def test_without_any_keys_nobody_can_tell_and_the_provider_is_not_hammered(
    provider: Provider, verifier: TokenVerifier, clock: Clock
) -> None:
    provider.answer = failing
    assert not await verifier.prepare()
    for _ in range(20):
        assert await refusal(verifier, of(OLD, "old")) == "keys-unavailable"
    assert provider.requests == REQUESTS_PER_MINUTE
    provider.answer = provider.publish
    clock.now += PAUSE
    assert await accepts(verifier, of(OLD, "old"))


async def test_a_server_that_nobody_runs_is_an_outage(clock: Clock) -> None:
    with open_provider() as gone:
        url = gone.url
    assert await refusal(verifier_of(url, clock), of(OLD, "old")) == "keys-unavailable"


SLOW = {
    "silent": b"",
    "in the middle of a header": b"HTTP/1.1 200 OK\r\nX-Filler: ",
    "in the middle of the body": b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{"keys": [',
}


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize("where", SLOW)
async def test_a_provider_that_is_too_slow_is_not_waited_for(
    provider: Provider, clock: Clock, where: str, drips: bool
) -> None:
    over = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.wfile.write(SLOW[where])
            # A drip resets the timeout of each read, but not ours.
            while not over.wait(0.01):
                if drips and where != "silent":
                    request.wfile.write(b" ")

    provider.answer = answer
    try:
        async with asyncio.timeout(30):
            impatient = verifier_of(provider.url, clock, timeout=0.1)
            assert await refusal(impatient, of(OLD, "old")) == "keys-unavailable"
    finally:
        over.set()


async def test_a_drip_of_bytes_does_not_keep_the_thread(provider: Provider, clock: Clock) -> None:
    over, hung_up = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        try:
            request.wfile.write(SLOW["in the middle of the body"])
            while not over.wait(0.01):
                request.wfile.write(b" ")
        except OSError:
            hung_up.set()

    provider.answer = answer
    try:
        impatient = verifier_of(provider.url, clock, timeout=0.1)
        assert await refusal(impatient, of(OLD, "old")) == "keys-unavailable"
        assert await asyncio.to_thread(hung_up.wait, 30)
    finally:
        over.set()


async def test_an_empty_key_set_withdraws_every_key_and_says_what_may_be_wrong(
    provider: Provider, verifier: TokenVerifier, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert await accepts(verifier, of(OLD, "old"))
    provider.answer = answering(json.dumps({"keys": []}).encode())
    clock.now += FRESH
    assert await refusal(verifier, of(OLD, "old")) == "token-key"
    assert "CHANGEFEED_JWT_SECRET" in caplog.text
