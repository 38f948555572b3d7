"""An event's JSON texts are parsed when somebody asks, and money keeps its digits."""

import json
from decimal import Decimal

import pytest

from changefeed.event import Batch, Owner, parsed
from tests.unit.transactions import cursor, event


def test_values_are_the_watched_columns() -> None:
    assert event(key='{"id": 1}', data='{"id": 1, "name": "x"}').values() == {"id": 1, "name": "x"}


def test_of_a_leave_the_values_are_the_key() -> None:
    left = event(op="leave", key='{"id": 1}', data=None)
    assert left.values() == left.key_values() == {"id": 1}


def test_what_is_not_there_is_empty() -> None:
    nothing = event(op="truncate", key=None, data=None, before=None)
    assert (nothing.values(), nothing.key_values(), nothing.former()) == ({}, {}, {})


def test_former_values_are_those_that_changed() -> None:
    assert event(before='{"status": "running"}').former() == {"status": "running"}


def test_numbers_with_a_fraction_keep_their_digits() -> None:
    assert str(parsed('{"cost": 0.1200}')["cost"]) == "0.1200"
    assert parsed('{"n": 12345678901234567890}')["n"] == 12345678901234567890


@pytest.mark.parametrize("digits", [4300, 4301, 100_000])
def test_an_integer_of_any_length_that_a_column_may_hold_is_read(digits: int) -> None:
    number = parsed('{"n": ' + "9" * digits + ', "m": 1.50}')
    assert Decimal(number["n"]).adjusted() == digits - 1
    assert str(number["m"]) == "1.50"


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(json.JSONDecodeError):
        parsed("{")


def test_owners_of_different_kinds_are_different() -> None:
    assert Owner("user", "1") != Owner("org", "1")
    assert len({Owner("user", "1"), Owner("org", "1"), Owner("user", "1")}) == 2


def test_events_and_batches_cannot_be_changed() -> None:
    made = event()
    with pytest.raises(AttributeError):
        made.seq = 2  # type: ignore[misc]
    batch = Batch((made,), cursor(5))
    with pytest.raises(AttributeError):
        batch.cursor = None  # type: ignore[misc]
