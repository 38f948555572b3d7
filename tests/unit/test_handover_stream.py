"""Random transactions that hand rows over and write to them, and what their owners see of it, over two processes.

Nobody who has been told of an owner change gets, after it, a row that was his before it. Whoever the row belongs to now is
told to refetch instead. What was written by a transaction that began later is left as it is.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from changefeed.cursor import Cursor, Snapshot
from changefeed.event import Event, Owner
from changefeed.handover import Handovers
from tests.unit.transactions import ANN, BOB, Transactions, event

CAT = Owner("user", "cat")
EVERYBODY = (ANN, BOB, CAT)
PARENTS = ("p1", "p2", "p3")


@dataclass
class Written:
    """What the log does not say of an event: which parent it was about, and which owner changes its writer could see."""

    parent: str
    could_see: frozenset[int]


class Platform:
    """Parents with owners, and children that belong to whoever owns their parent as far as the writer can see."""

    def __init__(self) -> None:
        self.log = Transactions()
        self.owners = {parent: EVERYBODY[number % 3] for number, parent in enumerate(PARENTS)}
        self.changed: dict[int, dict[str, Owner]] = {}
        """By transactions that are running."""
        self.frozen: dict[int, tuple[dict[str, Owner], Snapshot, frozenset[int]]] = {}
        """What those under repeatable read look at."""
        self.views: list[tuple[dict[str, Owner], Snapshot, frozenset[int]]] = []
        self.visible: set[int] = set()
        """Transactions that have handed something over and committed."""
        self.about: dict[int, Written] = {}

    def begin(self, repeatable_read: bool, how_late: int = 0) -> int:
        """A transaction that has its id now; under repeatable read it may have looked around long before."""
        self.views.append((dict(self.owners), self.log.snapshot(), frozenset(self.visible)))
        xid = self.log.begin()
        self.changed[xid] = {}
        if repeatable_read:
            self.frozen[xid] = self.views[-1 - how_late % len(self.views)]
        return xid

    def write(self, xid: int, parent: str, child: str) -> None:
        owners, snapshot, visible = self.frozen.get(xid, (self.owners, None, frozenset(self.visible)))
        owner = (owners | self.changed[xid])[parent]
        key = json.dumps({"id": f"{parent}/{child}"})
        if self.log.may_write(xid, f"public.note {key}"):
            made = self.log.write(xid, event(key=key, owner=owner, seen=snapshot))
            self.about[made.seq] = Written(parent, visible | {xid})

    def hand_over(self, xid: int, parent: str, to: Owner) -> None:
        locked = any(parent in changed for other, changed in self.changed.items() if other != xid)
        former = (self.owners | self.changed[xid])[parent]
        # Under repeatable read, one who would change what has changed meanwhile is refused.
        if locked or former == to or (xid in self.frozen and self.frozen[xid][0][parent] != self.owners[parent]):
            return
        self.changed[xid][parent] = to
        for owner, other in ((former, to), (to, former)):
            data = json.dumps({"reason": "owner", "other": other.value})
            made = self.log.write(xid, event(op="bulk", key=None, owner=owner, data=data))
            self.about[made.seq] = Written(parent, frozenset())

    def end(self, xid: int, commit: bool) -> None:
        changed = self.changed.pop(xid)
        self.frozen.pop(xid, None)
        if commit:
            self.log.commit(xid)
            self.owners |= changed
            if changed:
                self.visible.add(xid)
        else:
            self.log.roll_back(xid)


@dataclass
class Process:
    """One of several that read the log, each in windows of its own."""

    platform: Platform
    place: Cursor
    handovers: Handovers = field(default_factory=Handovers)
    stream: list[Event] = field(default_factory=list)
    places: list[tuple[Cursor, int]] = field(default_factory=list)
    """Each place, and how much of the stream comes before it."""

    @classmethod
    def beginning(cls, platform: Platform) -> "Process":
        process = cls(platform, platform.log.cursor())
        for made in platform.log.committed:
            if made.op == "bulk":
                process.handovers.note(made, process.place.snapshot, platform.log.next_xid)
        process.places.append((process.place, 0))
        return process

    def read(self, page: int) -> None:
        after = self.platform.log.cursor()
        events = self.platform.log.after(self.place)
        for first in range(0, len(events), page):
            self.stream += self.handovers.delivered(events[first : first + page])
        self.handovers.settle(after.snapshot, self.platform.log.next_xid)
        self.place = after
        self.places.append((after, len(self.stream)))

    def comes_back(self, since: Cursor, from_memory: bool) -> list[Event]:
        """What somebody with this place gets here, up to this process's own place."""
        source: Iterable[Event] = self.stream if from_memory else self.platform.log.after(since)
        missed = [made for made in source if not since.snapshot.includes(made.xid)]
        return [
            made
            for made in self.handovers.converted(missed, since.snapshot)
            if from_memory or self.place.snapshot.includes(made.xid)
        ]


def nobody_sees_what_he_gave_away(platform: Platform, owner: Owner, stream: Sequence[Event]) -> None:
    given: dict[str, set[int]] = {}
    for made in stream:
        if made.owner != owner:
            continue
        about = platform.about[made.seq]
        if made.op != "bulk":
            assert given.get(about.parent, set()) <= about.could_see, f"{owner} was sent {made} after giving it away"
        elif "other" in made.values():
            given.setdefault(about.parent, set()).add(made.xid)


def whoever_owns_it_is_told(platform: Platform, stream: Sequence[Event]) -> None:
    told = {(made.xid, made.owner) for made in stream}
    whole = {made.seq for made in stream if made.op != "bulk"}
    for made in stream:
        if made.op == "bulk" and "other" not in made.values():
            note("converted")
            original = next(one for one in platform.log.committed if one.seq == made.seq)
            assert made.seq not in whole
            assert (made.xid, original.owner) in told


def platform_of(seed: int) -> tuple[Platform, Process, Process]:
    chance = random.Random(seed)
    platform = Platform()
    first = Process.beginning(platform)
    second: Process | None = None
    for _ in range(chance.randint(20, 120)):
        running = sorted(platform.changed)
        step = chance.choice(["begin", "write", "write", "write", "give", "end", "read first", "read second"])
        if step == "begin" or not running:
            platform.begin(repeatable_read=chance.random() < 0.3, how_late=chance.randint(0, 3))
        elif step == "write":
            platform.write(chance.choice(running), chance.choice(PARENTS), chance.choice("ab"))
        elif step == "give":
            platform.hand_over(chance.choice(running), chance.choice(PARENTS), chance.choice(EVERYBODY))
        elif step == "end":
            platform.end(chance.choice(running), commit=chance.random() < 0.9)
        elif step == "read first":
            first.read(chance.randint(1, 5))
        elif second is None:
            second = Process.beginning(platform)
        else:
            second.read(chance.randint(1, 5))
    for xid in sorted(platform.changed):
        platform.end(xid, commit=True)
    first.read(3)
    second = second or Process.beginning(platform)
    second.read(3)
    return platform, first, second


@given(st.integers(0, 1 << 32))
def test_nobody_is_sent_a_row_after_he_was_told_that_it_is_his_no_longer(seed: int) -> None:
    platform, first, second = platform_of(seed)
    for process in (first, second):
        for owner in EVERYBODY:
            nobody_sees_what_he_gave_away(platform, owner, process.stream)
        whoever_owns_it_is_told(platform, process.stream)


@given(st.integers(0, 1 << 32))
def test_nor_after_he_has_gone_from_one_process_to_another(seed: int) -> None:
    platform, first, second = platform_of(seed)
    for one, other in ((first, second), (second, first)):
        for since, before in one.places:
            for from_memory in (False, True):
                if from_memory and not since.snapshot.covers(other.places[0][0].snapshot):
                    continue
                for owner in EVERYBODY:
                    whole = [*one.stream[:before], *other.comes_back(since, from_memory)]
                    nobody_sees_what_he_gave_away(platform, owner, whole)


@given(st.integers(0, 1 << 32))
def test_a_write_that_began_after_every_change_was_delivered_is_left_as_it_is(seed: int) -> None:
    platform, first, second = platform_of(seed)
    for parent in PARENTS:
        xid = platform.begin(repeatable_read=False)
        platform.write(xid, parent, "c")
        platform.end(xid, commit=True)
    for process in (first, second):
        before = len(process.stream)
        process.read(1)
        assert [made.op for made in process.stream[before:]] == ["update"] * 3
