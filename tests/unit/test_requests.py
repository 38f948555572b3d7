"""What a client may say, and that everything else is refused with a ValidationError and nothing worse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from changefeed.requests import Auth, ClientMessage, Ping, Subscribe, Unsubscribe, client_message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"type": "ping"}', Ping(type="ping")),
        ('{"type": "auth", "token": "t"}', Auth(type="auth", token="t")),
        ('{"type": "auth", "token": "t", "since": "c"}', Auth(type="auth", token="t", since="c")),
        ('{"type": "subscribe"}', Subscribe(type="subscribe")),
        (
            '{"type": "subscribe", "topics": ["executions"], "since": "c", "mode": "state", "min_interval": 60000}',
            Subscribe(type="subscribe", topics=["executions"], since="c", mode="state", min_interval=60000),
        ),
        ('{"type": "unsubscribe", "topics": []}', Unsubscribe(type="unsubscribe", topics=[])),
    ],
)
def test_the_four_messages_are_understood(text: str, meant: ClientMessage) -> None:
    assert client_message.validate_json(text) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        "ping",
        [],
        {},
        {"type": "pong"},
        {"type": "ping", "data": {}},
        {"type": "auth"},
        {"type": "auth", "token": ""},
        {"type": "auth", "token": None},
        {"type": "subscribe", "topic": ["executions"]},  # misspelt, it would silently do nothing
        {"type": "subscribe", "topics": "executions"},
        {"type": "subscribe", "topics": ["t" * 201]},
        {"type": "subscribe", "topics": [""]},
        {"type": "subscribe", "topics": ["t"] * 101},
        {"type": "subscribe", "since": ""},
        {"type": "subscribe", "since": "c" * 16385},
        {"type": "subscribe", "mode": "States"},
        {"type": "subscribe", "min_interval": -1},
        {"type": "subscribe", "min_interval": 60001},
        {"type": "subscribe", "min_interval": 1.5},
        {"type": "unsubscribe"},
        {"type": "unsubscribe", "topics": None},
    ],
    ids=str,
)
def test_everything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        client_message.validate_python(wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
almost = st.fixed_dictionaries(
    {"type": st.sampled_from(["ping", "auth", "subscribe", "unsubscribe"]) | json_values},
    optional=dict.fromkeys(("token", "since", "topics", "mode", "min_interval"), json_values),
)


@given(json_values | almost)
def test_no_json_causes_anything_but_a_validation_error(sent: Any) -> None:
    try:
        client_message.validate_python(sent)
    except ValidationError:
        return


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_frame_causes_anything_but_a_validation_error(frame: bytes | str) -> None:
    try:
        client_message.validate_json(frame)
    except ValidationError:
        return
