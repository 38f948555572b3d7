"""A window that begins with what the log holds: whatever it answers then and later is what the log would have answered.

The log is a model of what Postgres does, with transactions that commit out of order. The window begins at some moment in its
life, as in a process that starts; places from before, from other processes and made up come to it.
"""

import random
from collections.abc import Collection, Sequence

from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Owner
from changefeed.seed import Seed
from changefeed.window import Window
from tests.unit.transactions import ANN, BOB, EPOCH, Transactions, cursor, event

REFETCH = ("bulk", "truncate", "error")
ROOM = 1 << 30


class Start:
    """A log with a past, and a process that begins to read it."""

    def __init__(self, chance: random.Random, max_events: int, max_bytes: int = ROOM) -> None:
        self.chance = chance
        self.log = Transactions()
        self.window = Window(max_events, max_bytes)
        self.places = [self.log.cursor()]
        """Every place that somebody may have been given, oldest first."""
        self.floor: Snapshot | None = None
        self.emptied: set[int] = set()
        """What retention has taken out of the log, by seq."""
        self.published: list[Event] = []
        """What a process would have read that was always there."""

    def live(self, steps: int) -> None:
        """The application writes, and places are given out."""
        chance, log = self.chance, self.log
        for _ in range(steps):
            running = sorted(log.running)
            step = chance.choice(["begin", "write", "write", "write", "end", "end", "place"])
            if step == "begin" or not running:
                log.begin()
            elif step == "write":
                xid, key = chance.choice(running), f'{{"id": {chance.randint(1, 4)}}}'
                op = chance.choice(["update", "update", *REFETCH])
                owner = chance.choice((ANN, BOB, None))
                if op != "update":
                    log.write(xid, event(op=op, key=None, owner=owner))  # type: ignore[arg-type]
                elif log.may_write(xid, f"public.note {key}"):
                    log.write(xid, event(key=key, owner=owner, data="x" * chance.randint(0, 99)))
            elif step == "end":
                (log.roll_back if chance.random() < 0.1 else log.commit)(chance.choice(running))
            else:
                self.places.append(log.cursor())

    def empty(self) -> None:
        """Retention: a leaf that was sealed at one of the places is emptied, and perhaps not all leaves that are as old."""
        sealed = self.chance.choice(self.places).snapshot
        gone = [event.seq for event in self.log.committed if sealed.includes(event.xid) and self.chance.random() < 0.7]
        if gone and (self.floor is None or sealed.covers(self.floor)):
            self.emptied.update(gone)
            self.floor = sealed

    def begin(self, meanwhile: int = 0) -> Cursor:
        """The process finds its place, others write meanwhile, and the window begins with what the log has by then."""
        place = self.log.cursor()
        self.published = sorted(self.visible(place.snapshot), key=lambda event: event.seq)
        self.live(meanwhile)
        there = [event for event in self.visible(place.snapshot) if event.seq not in self.emptied]
        newest = sorted(there, key=lambda event: (-event.xid, self.chance.random()))[: self.window.max_events + 1]
        seed = Seed(place, self.window.max_events, self.window.max_bytes)
        for first in range(0, len(newest), 3):
            if not seed.gather(newest[first : first + 3]):
                break
        seed.plant(self.window, self.floor)
        self.places.append(place)
        return place

    def read(self, place: Cursor) -> Cursor:
        """One look at the log."""
        events = self.log.after(place)
        after = self.log.cursor()
        self.published += events
        self.window.add(events, after)
        self.places.append(after)
        return after

    def visible(self, snapshot: Snapshot) -> Collection[Event]:
        """What was committed then, whether or not it has been emptied since."""
        return [event for event in self.log.committed if snapshot.includes(event.xid)]

    def naive(self, since: Cursor, owners: Sequence[Owner]) -> list[Event]:
        """What the place has not seen."""
        return [
            event
            for event in self.published
            if not since.snapshot.includes(event.xid)
            and (event.owner in owners if event.owner is not None else event.op in REFETCH)
        ]

    def made_up(self) -> Cursor:
        """A place of another process, or one that nobody has."""
        xmax = self.chance.randint(95, self.log.next_xid)
        xip = frozenset(self.chance.randint(90, xmax - 1) for _ in range(self.chance.randint(0, 5)))
        return Cursor(EPOCH, Snapshot(min(xip, default=xmax), xmax, xip))

    def check(self) -> None:
        """Every answer is the naive one, or none."""
        for since in [*self.places, *(self.made_up() for _ in range(10))]:
            owners = self.chance.sample([ANN, BOB], self.chance.randint(0, 2))
            answer = self.window.after(since, owners)
            note(f"answered: {'no' if answer is None else 'with events' if answer else 'nothing was missed'}")
            if answer is not None:
                assert answer == self.naive(since, owners)


@given(st.integers(0, 1 << 32))
def test_an_answer_is_the_logs_own_or_none_from_the_start_on(seed: int) -> None:
    chance = random.Random(seed)
    start = Start(chance, chance.choice([1, 3, 8, 30, 1000]), chance.choice([2000, 20_000, ROOM]))
    for _ in range(chance.randint(0, 3)):
        start.live(chance.randint(0, 40))
        if chance.random() < 0.3:
            start.empty()
    place = start.begin(meanwhile=chance.randint(0, 10))
    start.check()
    for _ in range(chance.randint(0, 3)):
        place = start.read(place)
        start.check()
        start.live(chance.randint(0, 20))
    assert len(start.window) <= start.window.max_events
    assert start.window.bytes <= start.window.max_bytes


@given(st.integers(0, 1 << 32))
def test_while_there_is_room_every_place_that_the_floor_allows_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    start = Start(chance, 1000)
    start.live(chance.randint(0, 80))
    start.empty()
    place = start.begin(meanwhile=5)
    for since in start.places:
        if start.floor is None or since.snapshot.covers(start.floor):
            assert start.window.after(since, [ANN]) == start.naive(since, [ANN])
        else:
            assert start.window.after(since, [ANN]) is None
    assert start.window.after(place, [ANN]) == []


def committed(*xids: int) -> list[Event]:
    """One event of each, the newest transaction first, as the log is read; of Ann's, each about a row of its own."""
    return [event(xid, xid, key=f'{{"id": {xid}}}') for xid in sorted(xids, reverse=True)]


def test_it_reaches_back_as_far_as_there_is_room() -> None:
    window, seed = Window(3, ROOM), Seed(cursor(20), 3, ROOM)
    assert not seed.gather(committed(11, 12, 13, 14))
    seed.plant(window, None)
    assert window.after(cursor(12), [ANN]) == committed(14, 13, 12)[::-1]
    assert window.after(cursor(11), [ANN]) is None


def test_a_transaction_of_which_not_everything_fits_is_left_out_whole() -> None:
    window, seed = Window(3, ROOM), Seed(cursor(20), 3, ROOM)
    assert not seed.gather([event(5, 14), event(2, 12), event(3, 12), event(4, 12)])
    seed.plant(window, None)
    assert window.after(cursor(12), [ANN]) is None
    assert window.after(cursor(13), [ANN]) == [event(5, 14)]


def test_bytes_are_a_limit_too() -> None:
    large = [event(xid, xid, data="x" * 10_000) for xid in (14, 13, 12)]
    window, seed = Window(1000, 25_000), Seed(cursor(20), 1000, 25_000)
    assert not seed.gather(large)
    seed.plant(window, None)
    assert window.after(cursor(13), [ANN]) == large[1::-1]
    assert window.after(cursor(12), [ANN]) is None


def test_a_long_transaction_that_is_running_still_turns_nobody_away() -> None:
    # Every place that was given out names it.
    place, window = cursor(5, 20, [5]), Window(2, ROOM)
    seed = Seed(place, 2, ROOM)
    seed.gather(committed(11, 12, 13, 14))
    seed.plant(window, None)
    assert window.after(cursor(5, 14, [5]), [ANN]) == committed(14)
    window.add([event(30, 5)], cursor(21))
    assert window.after(cursor(5, 14, [5]), [ANN]) == [*committed(14), event(30, 5)]


def test_a_transaction_that_ended_unread_is_not_taken_for_seen() -> None:
    # It was running when the place was given out, and what it wrote does not fit.
    window, seed = Window(2, ROOM), Seed(cursor(20), 2, ROOM)
    seed.gather(committed(5, 13, 14))
    seed.plant(window, None)
    assert window.after(cursor(5, 14, [5]), [ANN]) is None


def test_below_the_floor_it_answers_nothing() -> None:
    window, seed = Window(10, ROOM), Seed(cursor(20), 10, ROOM)
    assert seed.gather(committed(13, 14))
    seed.plant(window, Snapshot(11, 13, frozenset([11])))
    assert window.after(cursor(11, 13, [11]), [ANN]) == committed(14, 13)[::-1]
    assert window.after(cursor(11, 13, [11, 12]), [ANN]) is None
    assert window.after(cursor(12), [ANN]) is None


def test_a_full_window_forgets_what_it_began_with_bit_by_bit() -> None:
    window, seed = Window(100, ROOM), Seed(cursor(200), 100, ROOM)
    seed.gather(committed(*range(100, 200)))
    seed.plant(window, None)
    window.add([event(300, 205)], cursor(210))
    assert window.after(cursor(100), [ANN]) is None
    assert window.after(cursor(104), [ANN]) == [*committed(*range(104, 200))[::-1], event(300, 205)]


def test_a_log_that_is_empty_has_nothing_that_could_have_been_missed() -> None:
    window = Window(10, ROOM)
    Seed(cursor(20), 10, ROOM).plant(window, None)
    assert window.after(cursor(3), [ANN]) == []
    assert window.after(cursor(3, epoch="f" * 16), [ANN]) is None


def test_whether_it_begins_with_the_log_is_known_of_a_window() -> None:
    window = Window(1, ROOM)
    told = [window.seeded]
    Seed(cursor(20), 1, ROOM).plant(window, None)
    told.append(window.seeded)
    window.add(committed(21, 22), cursor(23))
    assert [*told, window.seeded] == [False, True, False]
