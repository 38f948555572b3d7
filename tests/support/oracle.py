"""What should have arrived: the writers say what they committed, the viewers what they saw, and `judge` compares.

The claim that is checked: every committed change arrived at the row's owner of that moment and at nobody else, each row's
changes in their order, none twice by id; or the viewer was told to refetch, did so, and missed nothing that came after what
it fetched. Nothing of the feed is imported: what a viewer is told are the messages of PROTOCOL.

How it is told apart: each change carries a mark of its own, in the column `progress`. Per row and owner the changes that
were committed are a list; what a viewer saw must be that list. A refetch may stand for any part of it up to the state
that it found. A transaction whose commit was not answered may have happened or not; either is right.

Each change and each message costs the same, however many there were: a message is kept as its mark, with its row.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.history import EXECUTIONS, LAST, TASKS, Change, History, Row


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a refetch has found, in all tables or in one."""

    source: str | None
    found: Mapping[Row, int]


LOST = "lost"
Sight = int | Fetch | None
"""What a viewer learned of a row: its mark, that it is gone (None), or what a refetch found."""


class Viewer:
    """One owner's client, whatever it is connected by. Feed `saw` with every message, in order."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.cursor: str | None = None
        """The newest place that it was told: what to come back with."""
        self.arrived = 0
        """Messages about rows."""
        self.replayed = 0
        """Those of them that were older than the connection that brought them."""
        self.repeats = 0
        """Messages that came again, by their id. They were dropped."""
        self.strange: list[str] = []
        """What should not have come at all."""
        self.resyncs: list[str] = []
        """The reasons for which it was told to refetch."""
        self.outcomes: list[str] = []
        self.fetches: list[Fetch] = []
        self.done = asyncio.Event()
        """Set by the owner's last change."""
        self._sights: dict[Row, list[Sight]] = {}
        self._fetched: dict[Row, int] = {}
        """How many fetches stand in the row's sights already."""
        self._ids: set[int] = set()
        self._resumed_at = ""

    def saw(self, message: Mapping[str, Any]) -> Literal["all"] | str | None:
        """A message has come. Returns what must be fetched: a table, "all", or None; see `fetched`."""
        kind, data = message["type"], message.get("data", {})
        owner = message.get("user_id")
        known = self.cursor is not None
        self.cursor = message.get("cursor", self.cursor)
        if owner is not None and owner != self.owner and kind not in ("ready", "subscribed"):
            self.strange.append(f"{kind} of {owner}")
        if kind in ("ready", "subscribed"):
            self.outcomes.append(data["outcome"])
            self._resumed_at = message.get("timestamp", "") if data["outcome"] == "replayed" else ""
            # Whoever comes without a place begins with a first load.
            return None if known and data["outcome"] != "resync" else "all"
        if kind == "resync":
            self.resyncs.append(data["reason"])
            return "all" if not data.get("sources") else str(data["sources"][0])
        if kind == "rows-changed":
            self.resyncs.append(data["reason"])
            return str(data["source"])
        if (about := _about(kind, data)) is None:
            return None
        # Kept as a number: an id is long, and there are many.
        if (identity := hash(message["id"])) in self._ids:
            self.repeats += 1
            return None
        self._ids.add(identity)
        self.arrived += 1
        self.replayed += message.get("timestamp", "") < self._resumed_at
        row, mark = about
        self._up_to_date(row).append(mark)
        if mark == LAST:
            self.done.set()
        return None

    def fetched(self, found: Mapping[Row, int], source: str | None = None) -> None:
        """What the tables hold, read after the message that asked for it."""
        self.fetches.append(Fetch(source, found))
        # Of a table that it did not ask for it knows nothing: the messages are still to come.
        if any(mark == LAST and source in (None, row[0]) for row, mark in found.items()):
            self.done.set()

    def rows(self) -> set[Row]:
        """The rows that it has heard of, or found."""
        return {*self._sights, *(row for fetch in self.fetches for row in fetch.found)}

    def sights(self, row: Row) -> Sequence[Sight]:
        """What it learned of this row, in order."""
        return self._up_to_date(row)

    def _up_to_date(self, row: Row) -> list[Sight]:
        sights = self._sights.setdefault(row, [])
        if (number := self._fetched.get(row, 0)) < len(self.fetches):
            sights += (fetch for fetch in self.fetches[number:] if fetch.source in (None, row[0]))
            self._fetched[row] = len(self.fetches)
        return sights


def _about(kind: str, data: Mapping[str, Any]) -> tuple[Row, int | None] | None:
    if kind == "agent-task-update":
        return (TASKS, data["task_id"]), None if data["deleted"] else data["progress"]
    if kind.startswith("execution-"):
        return (EXECUTIONS, data["execution_id"]), None if kind == "execution-deleted" else data["progress"]
    if kind == "row-changed":
        gone = data["op"] in ("delete", "leave")
        return (data["source"], str(data["key"]["id"])), None if gone else data["row"]["progress"]
    return None


@dataclass
class Verdict:
    """What became of every committed change, for each viewer whose it was: `delivered + resynced + lost` is all of them."""

    delivered: int = 0
    """By a message, live or replayed."""
    resynced: int = 0
    """Not by a message, but a refetch that was asked for has found it, or what came after it."""
    lost: int = 0
    leaked: int = 0
    """Messages that this viewer should never have got: another's, or undone."""
    disordered: int = 0
    """Messages that came after what happened later to the same row."""
    unsure: int = 0
    """Messages about changes that did not have to come: their commit was never answered, or they raced an owner change."""
    words: list[str] = field(default_factory=list)

    def plus(self, other: "Verdict") -> "Verdict":
        """Both together."""
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def verify(
    history: History, viewers: Iterable[Viewer], *, repeats: bool = False, conflated: Collection[Viewer] = ()
) -> None:
    """Raises AssertionError, saying what was lost, out of order, or somebody else's; see `judge`.

    `repeats`: whether a message may come twice, as after an interrupted delivery.
    """
    people = list(viewers)
    faults = judge(history, people, conflated=conflated).words
    if not repeats:
        faults += (f"{viewer.owner} got {viewer.repeats} messages twice" for viewer in people if viewer.repeats)
    assert not faults, f"{len(faults)} faults, the first ones:\n" + "\n".join(faults[:10])


def judge(history: History, viewers: Iterable[Viewer], *, conflated: Collection[Viewer] = ()) -> Verdict:
    """Accounts for every change and every message. `conflated`: to them only each row's newest change was promised."""
    verdict = Verdict()
    for viewer in viewers:
        verdict.leaked += len(viewer.strange)
        verdict.words += (f"{viewer.owner} was sent {what}" for what in viewer.strange)
        for row in sorted({*history.changes, *viewer.rows()}):
            expected = history.of(row, viewer.owner)
            sights = viewer.sights(row)
            if not expected and not any(not isinstance(sight, Fetch) or row in sight.found for sight in sights):
                continue
            fault = _Reading(expected, skip=viewer in conflated).follow(row, sights, verdict)
            if fault is not None:
                verdict.words.append(f"{viewer.owner}, {row[0]} {row[1]}: {fault}")
    return verdict


class _Reading:
    """Follows all readings of what was seen at once: how many of the expected changes may have been dealt with by now."""

    def __init__(self, expected: Sequence[Change], *, skip: bool) -> None:
        self._expected = expected
        self._sure = [change.sure for change in expected]
        last = max((number for number, is_sure in enumerate(self._sure) if is_sure), default=-1)
        self._missed = [0]
        """How many of the first changes cannot be passed over."""
        self._numbers: dict[int | None, list[int]] = defaultdict(list)
        for number, change in enumerate(expected):
            passable = not self._sure[number] or (skip and number < last)
            self._missed.append(self._missed[-1] + (not passable))
            self._numbers[change.mark].append(number)
        self._places: Sequence[int] = (0,)
        """Ascending."""
        self._given_up = 0
        """How many are lost already."""

    def follow(self, row: Row, sights: Sequence[Sight], verdict: Verdict) -> str | None:
        """Adds to the verdict. Returns the first thing that is wrong, in words."""
        fault: str | None = None
        told = 0
        for number, sight in enumerate(sights):
            kind: str | None
            if isinstance(sight, Fetch):
                kind = self._fetch(sight.found.get(row), verdict)
            else:
                kind = self._message(sight, verdict)
                if kind in (None, LOST):
                    told += self._sure[self._places[-1] - 1]
                    verdict.unsure += not self._sure[self._places[-1] - 1]
            if kind is not None and fault is None:
                seen = ", ".join(_named(one, row) for one in sights[max(0, number - 7) : number + 1])
                fault = f"{kind}: expected {self._listed()}, but came {seen}"
        missing = self._missed[-1] - max(self._missed[place] for place in self._places)
        verdict.lost += missing
        if missing and fault is None:
            fault = (
                f"{LOST}: expected {self._listed()}, and it ended with {', '.join(_named(s, row) for s in sights[-8:])}"
            )
        verdict.delivered += told
        verdict.resynced += sum(self._sure) - told - missing - self._given_up
        return fault

    def _message(self, mark: int | None, verdict: Verdict) -> str | None:
        numbers = self._numbers.get(mark, ())
        reached = [number + 1 for number in numbers if self._misses(number) == 0]
        if reached:
            self._places = reached
            return None
        later = [number for number in numbers if number >= self._places[0]]
        if later:
            # What is missing is lost; from here on it is as if it had come.
            missing = self._misses(later[0])
            verdict.lost += missing
            self._given_up += missing
            self._places = (later[0] + 1,)
            return LOST
        if numbers:
            verdict.disordered += 1
            return "out of order"
        verdict.leaked += 1
        return "not his"

    def _misses(self, number: int) -> int:
        """How many changes are skipped at least if the next message is change `number`; -1: it is behind us."""
        at = bisect_right(self._places, number)
        return self._missed[number] - self._missed[self._places[at - 1]] if at else -1

    def _fetch(self, found: int | None, verdict: Verdict) -> str | None:
        after = [number + 1 for number in self._numbers.get(found, ())] + ([0] if found is None else [])
        # What was fetched may be newer than the place from which the messages go on: then some of it comes again.
        places = range(self._places[0], max(after, default=-1) + 1)
        if not places:
            verdict.disordered += 1
            return "a refetch that finds what never was, or was before"
        self._places = places
        return None

    def _listed(self) -> str:
        texts = [
            f"{change.mark}{'' if is_sure else '?'}" for change, is_sure in zip(self._expected, self._sure, strict=True)
        ]
        return f"…{', '.join(texts[-8:])}" if texts else "nothing"


def _named(sight: Sight, row: Row) -> str:
    return f"fetched {sight.found.get(row)}" if isinstance(sight, Fetch) else str(sight)
