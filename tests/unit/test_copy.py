"""Copies of batches: whoever takes them, in whatever company of looks and losses, gets each event once and each row in order."""

import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from changefeed.copy import MAX_BYTES, Copy
from changefeed.cursor import Cursor, Snapshot
from changefeed.errors import CopyError
from changefeed.event import Event
from tests.unit.transactions import ANN, BOB, EPOCH, Transactions, event

HERE = Snapshot(100, 103, frozenset({101}))


def copy(*events: Event, upto: Snapshot = HERE) -> Copy:
    return Copy(EPOCH, Snapshot(100, 100, frozenset()), upto, 105, events)


class Follower:
    """Takes copies where they join on, and looks at the log where they do not."""

    def __init__(self, log: Transactions) -> None:
        self.log = log
        self.place = log.cursor()
        self.events: list[Event] = []
        self.looks = self.joined = 0

    def look(self) -> None:
        self.events += self.log.after(self.place)
        self.place = self.log.cursor()
        self.looks += 1

    def take(self, taken: Copy) -> None:
        if taken.known(self.place):
            return
        batch = taken.joined(self.place)
        if batch is None or batch.cursor is None:
            self.look()
            return
        self.events += batch.events
        self.place = batch.cursor
        self.joined += 1


@given(st.randoms(use_true_random=False), st.sampled_from([0.0, 0.1, 0.5]))
def test_each_event_comes_once_and_each_row_in_order(chance: random.Random, lost: float) -> None:
    log = Transactions()
    start = log.cursor()
    follower, leader = Follower(log), start
    stream: list[Copy] = []
    for _ in range(chance.randint(1, 120)):
        running = sorted(log.running)
        step = chance.choice(["begin", "write", "write", "end", "end", "copy", "copy", "take", "take", "look"])
        if step == "begin" or (not running and step in ("write", "end")):
            log.begin()
        elif step == "write":
            xid, key = chance.choice(running), f'{{"id": {chance.randint(1, 4)}}}'
            if log.may_write(xid, f"public.note {key}"):
                log.write(xid, event(key=key, owner=chance.choice((ANN, BOB, None))))
        elif step == "end":
            (log.roll_back if chance.random() < 0.1 else log.commit)(chance.choice(running))
        elif step == "copy":
            if found := tuple(log.after(leader)):
                there = log.cursor()
                if chance.random() >= lost:
                    made = Copy(EPOCH, leader.snapshot, there.snapshot, log.next_xid, found)
                    # A window that was read in pages is not copied.
                    stream.append(made if chance.random() < 0.9 else replace(made, events=None))
                leader = there
        elif step == "take" and stream:
            # One that comes a second time, or late, is as good as any.
            chosen = stream[0] if chance.random() < 0.1 else stream.pop(0)
            follower.take(Copy.parse(chosen.text()))
        elif step == "look" and chance.random() < 0.2:
            follower.look()
    for rest in stream:
        follower.take(rest)
    follower.look()
    for xid in sorted(log.running):
        log.roll_back(xid)
    assert sorted(follower.events, key=lambda one: one.seq) == list(log.after(start))
    for row in {one.key for one in follower.events}:
        mine = [one.seq for one in follower.events if one.key == row]
        assert all(one < other for one, other in pairwise(mine))
    note(f"joined: {min(follower.joined, 3)}")


@given(
    st.text(max_size=20),
    st.sampled_from(["insert", "update", "delete", "leave", "bulk", "truncate", "error"]),
    st.sampled_from([None, ANN, BOB]),
    st.sampled_from([None, HERE]),
    st.none() | st.text(max_size=20),
)
def test_what_is_copied_comes_back_as_it_was(
    text: str, op: str, owner: object, seen: Snapshot | None, key: str
) -> None:
    made = copy(event(data=text, op=op, owner=owner, seen=seen, key=key, before=text, partial=bool(text)))  # type: ignore[arg-type]
    assert Copy.parse(made.text()) == made


def test_a_large_batch_is_left_to_the_log() -> None:
    found = Copy.parse(copy(event(data="x" * MAX_BYTES)).text())
    assert found.events is None
    assert found.upto == HERE
    assert found.joined(Cursor(EPOCH, found.after)) is None


def test_a_copy_of_another_epoch_joins_on_to_nothing() -> None:
    other = Cursor("f" * 16, HERE)
    assert copy(event()).joined(other) is None
    assert not copy(event()).known(other)


GOOD = json.loads(copy(event()).text())


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "null", "[]", "{}", "1", '"text"', "[1, 2, 3]", "[" * 10_000,
        *(json.dumps([*GOOD[:place], wrong, *GOOD[place + 1 :]]) for place in (1, 2) for wrong in (None, "", "1:2", "a:b:c", 7)),
        json.dumps([*GOOD[:3], None, []]), json.dumps([*GOOD[:4], 7]), json.dumps([*GOOD[:4], [[1, 2]]]),
        json.dumps([*GOOD[:4], [[*GOOD[4][0][:4], "drop", *GOOD[4][0][5:]]]]),
        json.dumps([*GOOD[:4], [[*GOOD[4][0][:2], "noon", *GOOD[4][0][3:]]]]),
        json.dumps([*GOOD[:4], [[*GOOD[4][0][:6], ["a", "b", "c"], *GOOD[4][0][7:]]]]),
    ],
)  # fmt: skip
def test_what_is_no_copy_is_refused(text: str) -> None:
    with pytest.raises(CopyError):
        Copy.parse(text)


def test_two_places_of_which_neither_is_the_later_do_not_join() -> None:
    # One server's snapshots are never like this: it is somebody else's.
    here = Cursor(EPOCH, Snapshot(101, 103, frozenset({102})))
    foreign = copy(event(xid=102), upto=Snapshot(101, 103, frozenset({101})))
    assert not foreign.known(here)
    assert foreign.joined(here) is None
