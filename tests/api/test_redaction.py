"""No token in any log: records of every shape, and a real server at its most talkative."""

import asyncio
import io
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from api import redaction
from api.redaction import MASK, Redaction, install, redact
from tests.support.issuer import token

ROOT = Path(__file__).resolve().parent.parent.parent
JWT = token()
TICKET = "q7Zl0o2bnQ9f4VxP1sYh8cKtR3mWdEjGuA5iTzN6XyB"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"GET /ws/dashboard?token={JWT}&since=1", f"GET /ws/dashboard?token={MASK}&since=1"),
        (f"/ws?since=1&ticket={TICKET} HTTP/1.1", f"/ws?since=1&ticket={MASK} HTTP/1.1"),
        (f"/ws?%74oken=opaque&T%49CKET={TICKET}", f"/ws?%74oken={MASK}&T%49CKET={MASK}"),
        ("?access_token=opaque", f"?access_token={MASK}"),
        (f"Authorization: Bearer {JWT}", f"Authorization: {MASK}"),
        ("authorization: Basic dXNlcjpwYXNz\r\nHost: a", f"authorization: {MASK}\r\nHost: a"),
        ("(b'authorization', b'Bearer opaque')", f"(b'authorization', b'{MASK}')"),
        (
            "Sec-WebSocket-Protocol: changefeed.v1, bearer, opaque",
            f"Sec-WebSocket-Protocol: changefeed.v1, bearer, {MASK}",
        ),
        ("['changefeed.v1', 'bearer', 'opaque']", f"['changefeed.v1', 'bearer', '{MASK}']"),
        ("Bearer opaque-0123", f"Bearer {MASK}"),
        ('{"type":"auth","token":"opaque"}', f'{{"type":"auth","token":"{MASK}"}}'),
        ('"{\\"token\\": \\"opaque\\"}"', f'"{{\\"token\\": \\"{MASK}\\"}}"'),
        (f"somebody sent {JWT}", f"somebody sent {MASK}"),
        (f"cut off: {JWT[:40]}...", f"cut off: {MASK}"),
        (f"%22{JWT.replace('.', '%2E')}%22", f"%22{MASK}%22"),
        ("eyAiYWxnIjogIkhTMjU2In0.eyAic3ViIjogInUifQ.c2ln", MASK),
        ("the token is missing", "the token is missing"),
        ("Bearer authentication is needed", "Bearer authentication is needed"),
        ("changefeed.listener.reconnect: key.py", "changefeed.listener.reconnect: key.py"),
        ("eyes.wide.open", "eyes.wide.open"),
    ],
)
def test_a_secret_is_taken_out_and_the_rest_is_left(text: str, expected: str) -> None:
    assert redact(text) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from([*"\"' :=,.&\\", JWT, TICKET, "bearer", "token", "Authorization", "eyJ", "ey"]), max_size=8
    )
)
def test_what_was_redacted_before_stays_as_it_is(pieces: list[str]) -> None:
    once = redact("".join(pieces))
    assert JWT not in once
    assert redact(once) == once


@pytest.mark.parametrize("piece", ["ey-", "eyJ", "bearer ", "bearer,", "token=", "e.", "%74", "authorization: "])
def test_no_text_takes_for_ever(piece: str) -> None:
    assert redact(piece * 500_000) is not None


class Log:
    """What one logger has written, as its handler formats it."""

    def __init__(self, name: str) -> None:
        self.logger = logging.getLogger(name)
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(logging.Formatter("%(name)s %(message)s %(extra)s", defaults={"extra": ""}))

    @property
    def text(self) -> str:
        return self._stream.getvalue()


@pytest.fixture
def restored() -> Iterator[None]:
    """Other tests log without the filter, as before."""
    original = logging.getLoggerClass()
    yield
    logging.setLoggerClass(original)
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.filters = [known for known in logger.filters if not isinstance(known, Redaction)]


@pytest.fixture(params=["uvicorn.error", "changefeed.relay", "api.something.made.later", "websockets.server"])
def log(request: pytest.FixtureRequest, restored: None) -> Iterator[Log]:  # noqa: ARG001
    install()
    log = Log(request.param)
    log.logger.addHandler(log.handler)
    log.logger.propagate = False
    yield log
    log.logger.removeHandler(log.handler)
    log.logger.propagate = True


class Careless:
    """Says one thing as text, and another as itself."""

    def __repr__(self) -> str:
        return f"Careless(token={JWT!r})"

    def __str__(self) -> str:
        return "nothing"


SHAPES: dict[str, Callable[[logging.Logger], None]] = {
    "the message": lambda to: to.error(f"a {JWT} b"),
    "an argument": lambda to: to.error("a %s b", JWT),
    "an argument after its name": lambda to: to.error("a ticket=%s b", TICKET),
    "a named argument": lambda to: to.error("a %(it)s b", {"it": JWT}),
    "an argument that prints itself": lambda to: to.error("a %s b", {"token": TICKET}),
    "an argument that has two texts": lambda to: to.error("a %r b", Careless()),
    "bytes": lambda to: to.error("a %r b", b"token=" + JWT.encode()),
    "an exception as a message": lambda to: to.error(ValueError(f"a {JWT} b")),
    "an extra": lambda to: to.error("a b", extra={"extra": {"token": TICKET}}),
    "the stack": lambda to: to.error(f"a {JWT} b", stack_info=True),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_of_any_shape_loses_its_secret_and_nothing_else(log: Log, shape: str) -> None:
    SHAPES[shape](log.logger)
    assert MASK in log.text
    assert JWT not in log.text
    assert TICKET not in log.text
    assert log.text.startswith(f"{log.logger.name} a ")
    assert " b" in log.text


def choke(complaint: str) -> None:
    raise ValueError(complaint)


def test_a_traceback_loses_its_secret_also_where_it_is_printed_anew(log: Log) -> None:
    complaint = f"cannot read token={TICKET}"
    try:
        try:
            choke(complaint)
        except ValueError as error:
            raise RuntimeError("somebody sent", JWT) from error
    except RuntimeError:
        log.logger.exception("failed")
    assert log.text.count(MASK) == 2
    assert JWT not in log.text
    assert TICKET not in log.text
    assert "RuntimeError: ('somebody sent', " in log.text
    assert "test_redaction.py" in log.text


def test_a_record_without_a_secret_is_left_as_it_was(log: Log) -> None:
    record = log.logger.makeRecord(log.logger.name, 40, "f", 1, "%s %d", ([1], 7), None, None, {"extra": [2]})
    before = dict(record.__dict__)
    assert log.logger.filter(record)
    assert record.__dict__ == before


def test_what_another_handler_has_already_formatted_is_redacted_too(log: Log) -> None:
    record = logging.makeLogRecord({"name": log.logger.name, "exc_text": f"a {JWT}", "stack_info": f"b {JWT}"})
    assert log.logger.filter(record)
    assert (record.exc_text, record.stack_info) == (f"a {MASK}", f"b {MASK}")


def test_arguments_that_do_not_fit_are_loggings_to_complain_about(log: Log) -> None:
    record = log.logger.makeRecord(log.logger.name, 40, "f", 1, "%d", (JWT,), None)
    assert log.logger.filter(record)
    assert record.args == (MASK,)


def test_uvicorns_access_line_keeps_its_five_parts(restored: None) -> None:  # noqa: ARG001
    install()
    args = ("127.0.0.1:1", "GET", f"/?token={JWT}&x=authorization:", "1.1", 200)
    record = logging.makeLogRecord({"name": "uvicorn.access", "msg": '%s - "%s %s HTTP/%s" %d', "args": args})
    assert logging.getLogger("uvicorn.access").filter(record)
    assert record.args == (*args[:2], f"/?token={MASK}&x=authorization:", *args[3:])


def test_installing_it_again_changes_nothing_and_other_loggers_are_left_alone(restored: None) -> None:  # noqa: ARG001
    for _ in range(3):
        install()
    chosen = logging.getLoggerClass()
    install()
    assert logging.getLoggerClass() is chosen
    for name in ("uvicorn.access", "changefeed", "changefeed.relay", redaction.__name__, "changefeed.made.later"):
        assert [type(known) for known in logging.getLogger(name).filters] == [Redaction]
    assert logging.getLogger("somebody.else").filters == []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """A service that chokes on tokens, for the real server below."""
    if scope["type"] == "lifespan":
        install()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        await receive()
        message = await receive()
        logging.getLogger("changefeed.made.in.the.app").warning("not understood: %s", message)
        await send({"type": "websocket.close", "code": 4401})
    else:
        raise ValueError(f"cannot read {scope['query_string']} of {scope['headers']}")


async def test_a_real_server_at_its_most_talkative_logs_no_token() -> None:
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", f"{__name__}:app", "--port", "0", "--log-level", "trace"),
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdout is not None
    lines: list[str] = []
    try:
        while not lines or "Uvicorn running on" not in lines[-1]:
            line = await server.stdout.readline()
            assert line, "".join(lines)
            lines.append(line.decode())
        address = lines[-1].partition("http://")[2].split()[0]
        async with connect(
            f"ws://{address}/ws?token={JWT}&ticket={TICKET}&seen=1",
            subprotocols=["changefeed.v1", "bearer", JWT],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {JWT}"},
        ) as socket:
            await socket.send(f'{{"type":"auth","token":"{JWT}"}}')
            await socket.wait_closed()
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        lines_sent = (f"GET /http?ticket={TICKET} HTTP/1.1", f"Host: {address}", f"Authorization: Bearer {JWT}")
        writer.write("\r\n".join([*lines_sent, "Connection: close", "", ""]).encode())
        assert b" 500 " in await reader.read()
        writer.close()
        await writer.wait_closed()
    finally:
        server.terminate()
        rest, _ = await server.communicate()
    text = "".join(lines) + rest.decode()
    for shown in (
        f"/ws?token={MASK}&ticket={MASK}&seen=1",
        f"/http?ticket={MASK}",
        "not understood",
        "ValueError: cannot",
    ):
        assert shown in text
    for secret in (TICKET, JWT, *JWT.split(".")):
        assert secret not in text
