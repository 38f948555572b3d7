"""From a column's value to a member of a message: money, numbers, ids and texts, and that no value is an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.event import Op
from tests.unit.mapped import EXECUTION, MAPPING, NOTE, TASK, sent
from tests.unit.transactions import EPOCH, event


@pytest.mark.parametrize(
    ("json_text", "money"),
    [
        ("0.1200", "0.1200"),
        ("12", "12"),
        ("-3.50", "-3.50"),
        ("1234567890123456789.123456789", "1234567890123456789.123456789"),
        ("0.0000001", "0.0000001"),
        ("9" * 5000, "9" * 5000),
        ('"4.20"', "4.20"),
        ("null", None),
        ("true", None),
        ("[0, [1], 0]", None),
        ('"NaN"', None),
        ('"$4.20"', None),
        ('"1e99999999"', None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_money_is_a_decimal_string_digit_for_digit(json_text: str, money: str | None) -> None:
    made = event(source=EXECUTION, data=f'{{"id": "e1", "cost_usd": {json_text}}}')
    assert sent(made, "executions")["data"]["cost_usd"] == money


@pytest.mark.parametrize(
    ("json_text", "number"),
    [
        ("50", 50),
        ("0.5", 0.5),
        ("-1", -1),
        ("50.0", 50.0),
        ("null", None),
        ("true", None),
        ('"50"', None),
        ("{}", None),
        ("1" + "0" * 400 + ".5", None),
        ("1" + "0" * 5000, None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_number_is_a_json_number_or_null(json_text: str, number: float | None) -> None:
    made = event(source=EXECUTION, data=f'{{"id": "e1", "progress": {json_text}}}')
    assert sent(made, "executions")["data"]["progress"] == number


@pytest.mark.parametrize(
    ("json_text", "text"),
    [('"x"', "x"), ("5", "5"), ("0.50", "0.50"), ("true", "true"), ("false", "false"), ("null", None), ("[1]", None)],
)
def test_ids_and_texts_are_strings_or_null(json_text: str, text: str | None) -> None:
    made = event(
        source=EXECUTION,
        key=f'{{"id": {json_text}}}',
        data=f'{{"id": {json_text}, "status": {json_text}}}',
        before=f'{{"status": {json_text}}}',
    )
    data = sent(made, "executions")["data"]
    assert (data["execution_id"], data["status"], data["previous_status"]) == (text, text, text)


@pytest.mark.parametrize(
    ("json_text", "value"),
    [
        ("0.1", 0.1),
        ("0.1200", 0.12),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("9007199254740992", 9007199254740992),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("1" + "0" * 400, "1" + "0" * 400),
        ("1" + "0" * 400 + ".5", "1" + "0" * 400 + ".5"),
        ("true", True),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_number_in_a_row_is_one_unless_that_would_change_its_digits(json_text: str, value: Any) -> None:
    row = sent(event(data=f'{{"n": {json_text}}}'), f"rows:{NOTE}")["data"]["row"]
    assert row["n"] == value
    assert type(row["n"]) is type(value)


scalars = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("id", "workflow_id", "execution_id", "status", "progress", "cost_usd", "tokens", "agent", "started_at")
rows = st.dictionaries(st.sampled_from(FIELDS), values)


@given(
    rows, st.none() | rows, st.sampled_from([EXECUTION, TASK]), st.sampled_from(["insert", "update", "delete", "leave"])
)
def test_no_value_of_a_column_is_an_error(row: Any, before: Any, source: str, op: Op) -> None:
    former = None if before is None else json.dumps(before)
    made = event(source=source, op=op, key='{"id": 1}', data=json.dumps(row), before=former)
    for topic in MAPPING.topics_of(source):
        assert sent(made, topic)["id"] == f"{EPOCH}-1"
