"""The ledger, state by state: which events are in the aggregate already, which are applied, and what cannot be."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Snapshot
from changefeed.event import Event, Op
from changefeed.ledger import MOST_GATHERED, Ledger
from changefeed.shape import InexpressibleError

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def snapshot(text: str) -> Snapshot:
    return Snapshot.parse(text)


def event(xid: int, op: Op = "insert", amount: int = 1) -> Event:
    return Event(xid, xid, NOW, "public.t", op, "{}", None, f'{{"n": {amount}}}', None, partial=False)


class Sum:
    """A tally of nothing but the sum of `n`."""

    good_for = None

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def apply(self, happened: Event) -> None:
        if happened.op == "bulk":
            raise InexpressibleError
        self.total += int(happened.values()["n"])

    def differs(self, other: "Sum") -> bool:
        return self.total != other.total


def known(total: int, text: str = "10:10:") -> Ledger:
    ledger = Ledger(exact=True)
    ledger.ask()
    ledger.answer(snapshot(text), Sum(total), now=0.0)
    return ledger


def total(ledger: Ledger) -> int | None:
    tally: Any = ledger.tally
    return None if tally is None else tally.total


def test_nothing_is_known_before_an_answer_and_no_event_changes_that() -> None:
    ledger = Ledger(exact=True)
    assert ledger.fresh
    assert not ledger.follow(event(5))
    assert total(ledger) is None
    ledger.ask()
    assert ledger.asked
    assert total(ledger) is None


def test_exactly_the_events_that_the_snapshot_does_not_include_are_applied() -> None:
    ledger = known(100, "10:14:11,13")
    seen = [ledger.follow(event(xid)) for xid in (9, 10, 11, 12, 13, 14, 15)]
    assert seen == [False, False, True, False, True, True, True]
    assert total(ledger) == 104


def test_events_that_come_while_the_aggregate_runs_are_not_lost_and_not_counted_twice() -> None:
    ledger = Ledger(exact=True)
    ledger.ask()
    for xid in (9, 10, 11):
        ledger.follow(event(xid))
    ledger.answer(snapshot("11:11:"), Sum(100), now=3.0)
    assert total(ledger) == 101
    assert (ledger.known, ledger.asked, ledger.checked_at) == (True, False, 3.0)


def test_what_cannot_be_applied_makes_the_numbers_unknown_until_an_answer_that_includes_it() -> None:
    ledger = known(100)
    assert ledger.follow(event(20, "bulk"))
    assert total(ledger) is None
    assert not ledger.follow(event(21))
    ledger.ask()
    ledger.answer(snapshot("20:20:"), Sum(200), now=0.0)
    assert total(ledger) == 200
    ledger.follow(event(20, "bulk"))
    assert total(ledger) is None, "the snapshot did not include it"


def test_an_answer_that_lacks_what_cannot_be_applied_is_none() -> None:
    ledger = Ledger(exact=True)
    ledger.ask()
    ledger.follow(event(20, "bulk"))
    ledger.answer(snapshot("20:20:"), Sum(1), now=0.0)
    assert not ledger.known
    assert not ledger.asked
    ledger.ask()
    ledger.follow(event(20, "bulk"))
    ledger.answer(snapshot("21:21:"), Sum(2), now=0.0)
    assert total(ledger) == 2


@pytest.mark.parametrize("data", ["[]", '{"n": "x"}', "{}", '{"n": null}', "nonsense"])
def test_an_event_that_cannot_be_read_is_one_that_cannot_be_applied_and_never_an_error(data: str) -> None:
    ledger = known(1)
    broken = Event(30, 30, NOW, "public.t", "insert", "{}", None, data, None, partial=False)
    assert ledger.follow(broken)
    assert not ledger.known


@pytest.mark.parametrize("how", [Ledger.forget, Ledger.restart])
def test_an_answer_from_before_the_numbers_were_forgotten_is_ignored(how: Any) -> None:
    ledger = Ledger(exact=True)
    ledger.ask()
    how(ledger)
    ledger.answer(snapshot("10:10:"), Sum(1), now=0.0)
    assert not ledger.known
    assert not ledger.asked
    again = known(1)
    again.ask()
    how(again)
    again.answer(snapshot("10:10:"), Sum(2), now=0.0)
    assert total(again) is None


def test_an_answer_that_never_comes_can_be_asked_for_again() -> None:
    ledger = known(1)
    ledger.ask()
    ledger.give_up()
    assert total(ledger) == 1
    ledger.ask()
    ledger.answer(snapshot("10:10:"), Sum(1), now=0.0)
    assert ledger.compare(snapshot("10:10:")) is False


def test_a_comparison_waits_until_the_log_is_read_as_far_as_the_answer() -> None:
    ledger = known(100)
    ledger.ask()
    ledger.answer(snapshot("12:12:"), Sum(102), now=0.0)
    assert ledger.compare(snapshot("11:11:")) is None
    assert total(ledger) == 100
    ledger.follow(event(10))
    ledger.follow(event(11))
    assert ledger.compare(snapshot("12:12:")) is False
    assert total(ledger) == 102
    ledger.follow(event(12))
    assert total(ledger) == 103


def test_a_comparison_that_finds_a_difference_says_so_and_mends_it() -> None:
    ledger = known(100)
    version = ledger.version
    ledger.ask()
    ledger.answer(snapshot("10:10:"), Sum(7), now=0.0)
    assert ledger.compare(snapshot("10:10:")) is True
    assert total(ledger) == 7
    assert ledger.version > version
    assert ledger.compare(snapshot("10:10:")) is None


def test_what_makes_the_numbers_unknown_ends_a_comparison() -> None:
    ledger = known(100)
    ledger.ask()
    ledger.answer(snapshot("12:12:"), Sum(102), now=0.0)
    before = ledger.checking
    ledger.follow(event(13, "bulk"))
    assert (before, ledger.checking) == (True, False)
    assert ledger.compare(snapshot("20:20:")) is None


def test_more_events_than_are_kept_make_the_answer_worthless_and_not_wrong() -> None:
    ledger = Ledger(exact=True)
    ledger.ask()
    for _ in range(MOST_GATHERED + 1):
        ledger.follow(event(50, amount=0))
    ledger.follow(event(51, amount=1_000_000))
    ledger.answer(snapshot("10:10:"), Sum(1), now=0.0)
    assert not ledger.known
    assert not ledger.asked


def test_without_deltas_the_last_numbers_are_shown_until_there_are_newer_ones() -> None:
    ledger = Ledger(exact=False)
    ledger.ask()
    ledger.answer(snapshot("10:10:"), Sum(1), now=0.0)
    assert ledger.follow(event(20, "bulk"))
    assert not ledger.known
    assert total(ledger) == 1
    ledger.restart()
    assert total(ledger) == 1
    ledger.ask()
    ledger.follow(event(30, "bulk"))
    ledger.answer(snapshot("30:30:"), Sum(2), now=0.0)
    assert total(ledger) == 2
    assert not ledger.known, "something has happened since, so it is asked again"


@given(
    base=st.integers(1, 30),
    running=st.sets(st.integers(1, 30)),
    events=st.lists(st.integers(1, 40), unique=True),
    asked_at=st.integers(0, 40),
    answered_at=st.integers(0, 40),
)
def test_whenever_it_is_asked_and_answered_each_transaction_counts_once(
    base: int, running: set[int], events: list[int], asked_at: int, answered_at: int
) -> None:
    """`events` are published in this order. A snapshot that is taken after some were published includes those."""
    asked_at = min(asked_at, len(events))
    answered_at = max(asked_at, min(answered_at, len(events)))
    published = set(events[:asked_at])
    invisible = frozenset(xid for xid in running if xid < base) - published
    base = max([base, *(xid + 1 for xid in published)])
    taken = Snapshot(min(invisible, default=base), base, invisible)
    ledger = Ledger(exact=True)
    for xid in events[:asked_at]:
        ledger.follow(event(xid, amount=xid))
    ledger.ask()
    for xid in events[asked_at:answered_at]:
        ledger.follow(event(xid, amount=xid))
    ledger.answer(taken, Sum(sum(xid for xid in events if taken.includes(xid))), now=0.0)
    for xid in events[answered_at:]:
        ledger.follow(event(xid, amount=xid))
    assert total(ledger) == sum(events)
