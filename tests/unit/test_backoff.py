"""Delays double up to a bound, each of them random between nothing and that, and begin anew after a success."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from changefeed import backoff
from changefeed.backoff import Backoff


def test_the_example_in_the_module_is_true() -> None:
    outcome = doctest.testmod(backoff)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@given(
    first=st.floats(0.001, 10),
    largest=st.floats(0.001, 100),
    chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=200),
)
def test_a_delay_is_a_random_part_of_a_bound_that_doubles(first: float, largest: float, chances: list[float]) -> None:
    drawn = iter(chances)
    delays = Backoff(first, largest, chance=lambda: next(drawn))
    bound = first
    for chance in chances:
        assert delays.next() == min(bound, largest) * chance
        bound = min(bound * 2, largest)


def test_many_attempts_do_not_overflow() -> None:
    delays = Backoff(first=1.0, largest=5.0, chance=lambda: 1.0)
    assert [delays.next() for _ in range(5000)][-1] == 5.0


def test_after_a_success_it_begins_anew() -> None:
    delays = Backoff(first=1.0, largest=60.0, chance=lambda: 1.0)
    assert [delays.next(), delays.next(), delays.next()] == [1.0, 2.0, 4.0]
    delays.reset()
    assert delays.next() == 1.0


def test_those_who_failed_together_come_back_apart() -> None:
    assert len({Backoff(first=1.0, largest=1.0).next() for _ in range(50)}) > 40
