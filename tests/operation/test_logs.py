"""The logs of `changefeed serve` and `changefeed relay`: lines for people or JSON, who came and went, and no token."""

import json
import logging
import sys
from typing import Any

import pytest

from changefeed.logs import JsonFormatter
from tests.support.issuer import SECRET
from tests.support.service import Process, environment
from tests.support.site import Site
from tests.support.subscribers import StreamSubscriber, WebSocketSubscriber


def records(process: Process) -> list[dict[str, Any]]:
    """Every line, each of which must be one JSON object."""
    found = [json.loads(line) for line in process.log.splitlines()]
    assert all(isinstance(record, dict) for record in found)
    return found


async def served(own: Site, **settings: Any) -> tuple[Process, str]:
    """`changefeed serve` with these settings, and where it listens."""
    command = [sys.executable, "-m", "changefeed", "serve", "--port", "0"]
    process = Process(command, environment(dsn=own.services.dsn, jwt_secret=SECRET, **settings))
    own.stack.callback(process.kill)
    return process, (await process.said(r"Uvicorn running on (http://127\.0\.0\.1:\d+)"))[1]


async def test_in_json_every_line_is_an_object_and_connections_have_their_members(own: Site) -> None:
    process, url = await served(own, log_format="json")
    tenant = await own.tenant()
    token = tenant.token()
    client = await WebSocketSubscriber(url, None, {"token": token}, {}).open()
    await client.until("ready")
    await client.close()
    await process.said("closed after")
    bad = tenant.token()[:-4] + "AAAA"
    stranger = StreamSubscriber(url, None, {"token": bad}, {})
    assert (await stranger.refusal()).status == 401
    await stranger.close()
    poll = await own.joined("longpoll", tenant, url)
    await poll.close()
    await process.said('"longpoll of')

    lines = [record for record in records(process) if record["logger"] == "changefeed.connections"]
    names = ("level", "transport", "user", "outcome", "close_code", "error")
    assert [tuple(record.get(name) for name in names) for record in lines] == [
        ("info", "websocket", str(tenant.id), "fresh", None, None),
        ("info", "websocket", str(tenant.id), "fresh", "left", None),
        ("info", "sse", None, None, 4401, "token-key"),
        ("info", "longpoll", str(tenant.id), "fresh", "left", None),
    ]
    assert 0 < lines[1]["duration_seconds"] < 60
    assert {"time", "message"} <= lines[0].keys()
    for secret in (token, bad, token.rpartition(".")[2], tenant.token(), SECRET):
        assert secret not in process.log
    assert any("token=***" in record["message"] for record in records(process))


async def test_as_text_the_same_is_said_in_sentences(own: Site) -> None:
    process, url = await served(own, max_user_connections=1)
    tenant = await own.tenant()
    await own.joined("websocket", tenant, url)
    await own.client("websocket", tenant, url).refusal()
    await process.said(f"INFO .*changefeed.connections: websocket of '{tenant.id}' opened: fresh")
    await process.said("INFO .*changefeed.connections: websocket refused: 4409 too-many-connections")
    await own.feed.execute("select changefeed.kick($1)", str(tenant.id))
    await process.said(rf"websocket of '{tenant.id}' closed after \d+\.\d\d\d s: 4403 kicked")


async def test_a_relay_of_its_own_says_what_it_does_in_json_as_well(own: Site) -> None:
    command = [sys.executable, "-m", "changefeed", "relay"]
    process = Process(command, environment(dsn=own.services.dsn, log_format="json"))
    own.stack.callback(process.kill)
    await process.said('"message": "leading"')
    assert records(process)[-1]["logger"] == "changefeed.relay"


def test_a_traceback_is_a_member_and_what_json_does_not_know_is_text() -> None:
    record = logging.LogRecord("changefeed.x", logging.ERROR, __file__, 1, "failed: %s", ("so",), None)
    try:
        int("broken\nin two lines")
    except ValueError:
        record.exc_info = sys.exc_info()
    record.thing = object
    line = JsonFormatter().format(record)
    assert "\n" not in line
    members = json.loads(line)
    assert (members["level"], members["message"]) == ("error", "failed: so")
    assert "ValueError: invalid literal" in members["traceback"]
    assert members["thing"] == "<class 'object'>"


@pytest.mark.parametrize("name", ["time", "level", "message"])
def test_no_member_takes_the_place_of_a_records_own(name: str) -> None:
    record = logging.LogRecord("changefeed.x", logging.INFO, __file__, 1, "true", (), None)
    record.__dict__.setdefault(name, "forged")
    if name != "message":
        assert json.loads(JsonFormatter().format(record))[name] != "forged"
    assert json.loads(JsonFormatter().format(record))["message"] == "true"
