"""What only a long poll has: one whole answer, at once or after a while."""

import asyncio
from typing import Any

import httpx
import pytest

from changefeed.cursor import Cursor
from tests.support.scrape import scraped, until
from tests.support.site import Site
from tests.support.stuck import StuckPeer
from tests.support.subscribers import STATISTICS
from tests.support.tenant import Tenant

PATH = "/api/v1/changes"


async def polled(site: Site, tenant: Tenant, **parameters: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {tenant.token()}"}
    async with httpx.AsyncClient(base_url=site.service.url, timeout=60) as client:
        answer = await client.get(PATH, params=parameters, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    assert set(found) == {"messages", "cursor"}
    Cursor.parse(found["cursor"])
    found["messages"] = [message for message in found["messages"] if message["type"] not in STATISTICS]
    return found


async def caught_up(site: Site, tenant: Tenant) -> str:
    """A place after which nothing has come so far."""
    answer = await polled(site, tenant)
    while (answer := await polled(site, tenant, since=answer["cursor"], wait=0))["messages"][1:]:
        pass
    place: str = answer["cursor"]
    return place


async def test_without_a_place_the_place_comes_at_once(shared: Site) -> None:
    tenant = await shared.tenant()
    await tenant.begin()
    answer = await polled(shared, tenant, wait=30)
    assert answer["messages"][0]["type"] == "ready"
    assert answer["messages"][0]["data"]["outcome"] == "fresh"


async def test_what_was_missed_comes_at_once_and_the_place_leads_on(shared: Site) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    place = await caught_up(shared, tenant)
    for number in (1, 2):
        await tenant.move(execution, number)
    answer = await polled(shared, tenant, since=place, wait=30)
    assert [m["data"].get("progress") for m in answer["messages"]] == [None, 1, 2]
    nothing = await polled(shared, tenant, since=answer["cursor"], wait=0)
    assert [message["type"] for message in nothing["messages"]] == ["ready"]
    assert nothing["messages"][0]["data"]["outcome"] == "fresh"


@pytest.mark.parametrize(("mode", "told"), [("log", [1, 2]), ("state", [2])])
async def test_with_an_interval_what_was_missed_and_what_comes_soon_are_one_answer(
    own: Site, mode: str, told: list[int]
) -> None:
    process = await own.start()
    tenant = await own.tenant()
    execution = await tenant.begin()
    place = await caught_up(own, tenant)
    before = (await scraped(process.url)).value("connections_opened_total", transport="longpoll") or 0
    await tenant.move(execution, 1)
    wishes = {"since": place, "mode": mode, "min_interval": 3000, "wait": 30, "topics": "executions"}
    pending = asyncio.create_task(polled(own, tenant, **wishes))
    await until(process.url, lambda now: now.value("connections_opened_total", transport="longpoll") == before + 1)
    assert not pending.done()
    await tenant.move(execution, 2)
    messages = (await pending)["messages"]
    assert [message["data"]["progress"] for message in messages if "id" in message] == told
    counts = [message["data"]["count"] for message in messages if message["type"] == "conflated"]
    assert counts == ([] if mode == "log" else [1])


@pytest.mark.parametrize("min_interval", [0, 8000])
async def test_no_poll_outlives_its_token(tight: Site, min_interval: int) -> None:
    tenant = await tight.tenant()
    execution = await tenant.begin()
    place = await caught_up(tight, tenant)
    if min_interval:
        await tenant.move(execution, 1)
    wishes: dict[str, Any] = {"since": place, "min_interval": min_interval, "wait": 8, "topics": "executions"}
    headers = {"Authorization": f"Bearer {tenant.token(seconds=1)}"}
    async with httpx.AsyncClient(base_url=tight.service.url, timeout=60) as client:
        answer = await client.get(PATH, params=wishes, headers=headers)
    assert answer.status_code == 401, answer.text
    assert answer.json()["code"] == "token-expired"


@pytest.mark.parametrize("wait", ["long", "-1", "31", "nan", "inf", "1e3", ""])
async def test_a_wait_that_is_none_is_refused_without_repeating_it(shared: Site, wait: str) -> None:
    tenant = await shared.tenant()
    headers = {"Authorization": f"Bearer {tenant.token()}"}
    async with httpx.AsyncClient(base_url=shared.service.url) as client:
        answer = await client.get(PATH, params={"wait": wait}, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["title"]) == ("parameter-invalid", 400, "Bad Request")
    assert problem["detail"].startswith("wait: ")
    assert "input" not in answer.text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"mode": "fast"}, "mode: log"),
        ({"min_interval": "-1"}, "min_interval: milliseconds"),
        ({"min_interval": "60001"}, "min_interval: milliseconds"),
        ({"min_interval": "½"}, "min_interval: milliseconds"),
        ({"since": "x" * 16385}, "since: this is no cursor"),
        ({"topics": ",".join(f"t{number}" for number in range(101))}, "topics: at most 100"),
    ],
)
@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll"])
async def test_a_parameter_that_is_not_understood_is_refused_with_a_sentence(
    shared: Site, transport: str, parameters: dict[str, str], words: str
) -> None:
    client = shared.client(transport, await shared.tenant())
    client.parameters = parameters
    end = await client.refusal()
    assert end.error == "parameter-invalid"
    assert (end.code, end.status) == ((4400, None) if transport == "websocket" else (None, 400))
    assert (end.detail or client.seen[0]["data"]["message"]).startswith(words)


async def test_parameters_without_a_value_say_nothing_and_blanks_are_no_part_of_a_topic(shared: Site) -> None:
    tenant = await shared.tenant()
    empty = await polled(shared, tenant, topics="", mode="", min_interval="", since="", token="", ticket="")
    everything = await polled(shared, tenant)
    assert empty["messages"][0]["data"]["topics"] == everything["messages"][0]["data"]["topics"]
    some = await polled(shared, tenant, topics=" executions, agent-tasks ,")
    assert some["messages"][0]["data"]["topics"] == ["agent-tasks", "executions"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("POST", PATH, 405, "method-not-allowed"),
        ("GET", "/api/v1/ws-ticket", 405, "method-not-allowed"),
        ("GET", "/ws/dashboard", 404, "not-found"),
    ],
)
async def test_what_is_not_there_is_a_problem_document_as_well(
    shared: Site, method: str, path: str, status: int, code: str
) -> None:
    async with httpx.AsyncClient(base_url=shared.service.url) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_answer_that_nobody_takes_is_cut_off(own: Site) -> None:
    service = await own.start(send_timeout=0.5, max_replay_bytes=1 << 30)
    tenant = await own.tenant()
    execution = await tenant.begin()
    first = await own.joined("longpoll", tenant)
    await first.close()
    async with own.app.transaction():
        await tenant.flood(execution, 500, 20_000)
    path = f"/api/v1/changes?since={first.cursor}"
    async with StuckPeer(service.url, path, tenant.token(), websocket=False) as stuck:
        await stuck.read_until(b"200 OK")
        await until(service.url, lambda scrape: scrape.value("visitors") == 0)
        assert not stuck.is_held()
        assert len(await stuck.cut_off()) < 5_000_000
