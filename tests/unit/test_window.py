"""The newest part of the log in memory against a plain list: its answer is the list's own, or none at all."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Op, Owner
from changefeed.window import Window, size
from tests.unit.transactions import ANN, BOB, EPOCH, Transactions, cursor, event

ACME = Owner("org", "ann")
"""Another kind, the same value."""
OWNERS = (ANN, BOB, ACME, None)
OPS: tuple[Op, ...] = ("update", "bulk", "truncate", "error")


class History:
    """Some transactions, read into a window batch by batch, and into a plain list."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.log = Transactions()
        self.places = [self.log.cursor()]
        """Every place that somebody may have been given, oldest first."""
        self.published: list[Event] = []
        window.restart(self.places[-1])

    def read(self, pages: int) -> None:
        """A window of the log, in so many pages and a last one that may be empty; it may be asked at any time."""
        place = self.log.cursor()
        events = list(self.log.after(self.places[-1]))
        size = -(-len(events) // pages) or 1
        for first in range(0, len(events), size):
            page = events[first : first + size]
            last = first + size >= len(events) and pages % 2 == 0
            self.window.add(page, place if last else None)
            self.published += page
            if last:
                break
        else:
            self.window.add((), place)
        self.places.append(place)

    def naive(self, since: Cursor, owners: Sequence[Owner]) -> list[Event]:
        """What the place has not seen, for these owners and for whoever may see it, in the order of publication."""
        refetch = ("bulk", "truncate", "error")
        return [
            event
            for event in self.published
            if not since.snapshot.includes(event.xid)
            and (event.owner in owners if event.owner is not None else event.op in refetch)
        ]


def history_of(seed: int, sizes: Sequence[int] = (0, 1, 3, 8, 30, 1000)) -> History:
    """A random one."""
    chance = random.Random(seed)
    history = History(Window(chance.choice(sizes), chance.choice([2000, 20_000, 1 << 20])))
    log = history.log
    for _ in range(chance.randint(1, 60)):
        running = sorted(log.running)
        step = chance.choice(["begin", "write", "write", "write", "end", "end", "read"])
        if step == "begin" or (step == "write" and not running):
            log.begin()
        elif step == "write":
            xid = chance.choice(running)
            op = chance.choice(OPS)
            key = f'{{"id": {xid}}}' if op == "update" else None
            data = "x" * chance.randint(0, 99)
            log.write(xid, event(op=op, key=key, owner=chance.choice(OWNERS), data=data))
        elif step == "end" and running:
            (log.roll_back if chance.random() < 0.1 else log.commit)(chance.choice(running))
        elif step == "read":
            history.read(chance.randint(1, 4))
    return history


def made_up(chance: random.Random, history: History) -> Cursor:
    """A place between ours, as another process may have given it out, or one that nobody has."""
    xmax = chance.randint(100, history.log.next_xid)
    xip = frozenset(chance.randint(97, xmax - 1) for _ in range(chance.randint(0, 5)))
    return Cursor(EPOCH, Snapshot(min(xip, default=xmax), xmax, xip))


@given(st.integers(0, 1 << 32))
def test_an_answer_is_the_lists_own_or_none(seed: int) -> None:
    history = history_of(seed)
    chance = random.Random(seed)
    for since in [*history.places, *(made_up(chance, history) for _ in range(10))]:
        owners = chance.sample([ANN, BOB, ACME], chance.randint(0, 3))
        answer = history.window.after(since, owners)
        note(f"answered: {'no' if answer is None else 'with events' if answer else 'nothing was missed'}")
        if answer is not None:
            assert answer == history.naive(since, owners)


@given(st.integers(0, 1 << 32))
def test_while_there_is_room_every_place_is_answered(seed: int) -> None:
    history = history_of(seed, sizes=[1000])
    if history.window.max_bytes > 600 * len(history.published):
        assert all(history.window.after(place, [ANN]) is not None for place in history.places)


@given(st.integers(0, 1 << 32))
def test_it_stays_within_its_bounds(seed: int) -> None:
    window = history_of(seed).window
    assert len(window) <= window.max_events
    assert window.bytes <= window.max_bytes
    assert window.bytes == sum(map(size, window._events))
    indexed = sum(len(events) for events in window._by_owner.values())
    assert indexed <= len(window), "nothing that was forgotten is kept by its owner"


def window_of(*batches: Sequence[Event], max_events: int = 100) -> Window:
    """Each batch's transaction ids are below its place: 10 and 11, then 20 and so on."""
    window = Window(max_events, 1 << 20)
    window.restart(cursor(10))
    for number, events in enumerate(batches):
        window.add(events, cursor(20 + 10 * number))
    return window


def test_a_quiet_database_turns_nobody_away() -> None:
    window = window_of([event(xid=11)])
    for _ in range(1000):
        window.add((), cursor(500))
    assert window.after(cursor(10), [ANN]) == [event(xid=11)]
    assert window.after(cursor(20), [ANN]) == []
    quiet = window_of()
    for later in range(11, 300):
        quiet.add((), cursor(later))
    assert quiet.after(cursor(10), [ANN]) == []


def test_whole_batches_are_forgotten_oldest_first() -> None:
    first, second, third = [event(1, 11), event(2, 12)], [event(3, 21)], [event(4, 31)]
    window = window_of(first, second, third, max_events=3)
    assert window.after(cursor(10), [ANN]) is None
    assert window.after(cursor(20), [ANN]) == [*second, *third]
    assert len(window) == 2


def test_a_batch_too_large_for_it_is_not_kept_in_part() -> None:
    window = window_of([event(1, 11)], [event(n, 21) for n in range(2, 9)], max_events=3)
    assert window.after(cursor(10), [ANN]) is None
    assert window.after(cursor(20), [ANN]) is None
    assert window.after(cursor(30), [ANN]) == []


def test_while_a_batch_is_incomplete_its_pages_are_part_of_the_answer() -> None:
    # They have been published: whoever begins to listen now is offered only those that follow.
    window = window_of([event(1, 11)])
    window.add([event(2, 21)], None)
    assert window.after(cursor(20), [ANN]) == [event(2, 21)]
    window.add([event(3, 22)], None)
    assert window.after(cursor(10), [ANN]) == [event(1, 11), event(2, 21), event(3, 22)]


def test_while_a_batch_too_large_for_it_is_incomplete_nothing_is_answered() -> None:
    window = window_of([event(1, 11)], max_events=2)
    for seq in range(2, 6):
        window.add([event(seq, 21)], None)
    assert window.after(cursor(20), [ANN]) is None
    window.add((), cursor(30))
    assert window.after(cursor(20), [ANN]) is None
    assert window.after(cursor(30), [ANN]) == []
    window.add([event(6, 31)], cursor(40))
    assert window.after(cursor(30), [ANN]) == [event(6, 31)]


def test_a_transaction_that_was_in_flight_is_not_counted_as_seen() -> None:
    late = event(1, xid=15)
    window = window_of([event(2, 16)], [late])
    assert window.after(cursor(15, 20, [15]), [ANN]) == [late]
    assert window.after(cursor(15, 18, [15]), [ANN]) == [late], "of another process, between two of ours"


@pytest.mark.parametrize("since", [cursor(9), cursor(10, epoch="f" * 16), cursor(9, 30, [9])], ids=str)
def test_what_it_cannot_know_it_does_not_answer(since: Cursor) -> None:
    assert window_of([event(1, 11)]).after(since, [ANN]) is None


def test_before_it_has_a_place_it_answers_nothing() -> None:
    assert Window(10, 1000).after(cursor(10), [ANN]) is None


def test_a_restart_forgets_everything() -> None:
    window = window_of([event(1, 11)])
    window.restart(cursor(50))
    assert (len(window), window.bytes) == (0, 0)
    assert window.after(cursor(10), [ANN]) is None
    assert window.after(cursor(50), [ANN]) == []


def test_an_event_without_an_owner_is_for_nobody_unless_it_says_refetch() -> None:
    secret = event(1, 11, owner=None)
    refetch = event(2, 11, op="bulk", owner=None, key=None)
    assert window_of([secret, refetch]).after(cursor(10), [ANN]) == [refetch]


def test_owners_are_kind_and_value() -> None:
    window = window_of([event(1, 11, owner=ACME)])
    assert window.after(cursor(10), [ANN]) == []
    assert window.after(cursor(10), [ANN, ACME]) == [event(1, 11, owner=ACME)]
