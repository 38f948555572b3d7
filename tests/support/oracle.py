"""What should have arrived: the writers say what they committed, the viewers what they saw, and `verify` compares.

The claim that is checked: every committed change arrived at the row's owner of that moment and at nobody else, each row's
changes in their order, none twice by id; or the viewer was told to refetch, did so, and missed nothing that came after what
it fetched. Nothing of the feed is imported: what a viewer is told are the messages of PROTOCOL.

How it is told apart: each change carries a mark of its own, in the column `progress`. Per row and owner the changes that
were committed are a list; what a viewer saw must be that list. A refetch may stand for any part of it up to the state
that it found. A transaction whose commit was not answered may have happened or not; either is right.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import merge
from typing import Any, Literal

TASKS = "public.agent_task"
EXECUTIONS = "public.workflow_execution"
LAST = 2_000_000_000
"""The mark of a viewer's last change: what comes after it is not waited for."""

Row = tuple[str, str]
"""The table, and the row's id."""
Outcome = Literal["committed", "undone", "unknown"]


class Fate:
    """What became of a transaction, or of the part of one that a savepoint can undo."""

    __slots__ = ("_outcome", "_within")

    def __init__(self, within: "Fate | None" = None) -> None:
        self._outcome: Outcome | None = None
        self._within = within

    def decide(self, outcome: Outcome) -> None:
        """How it ended."""
        self._outcome = outcome

    @property
    def outcome(self) -> Outcome:
        """A part that was not undone shares the fate of the whole; what was never decided may have happened."""
        if self._outcome == "undone" or self._within is None:
            return self._outcome or "unknown"
        return self._within.outcome


@dataclass(frozen=True, slots=True)
class Change:
    """What one owner should see of one change of a row: `mark` None where the row is gone for him."""

    owner: str
    mark: int | None
    fate: Fate


class History:
    """Every change of every row, in the order of the row's locks. Note a change while its transaction holds the row."""

    def __init__(self) -> None:
        self.changes: dict[Row, list[Change]] = defaultdict(list)
        self.transactions = 0
        """Committed ones that changed something."""

    def written(self, row: Row, owner: str, mark: int, fate: Fate) -> None:
        """The row was inserted or updated, and is this owner's."""
        self.changes[row].append(Change(owner, mark, fate))

    def gone(self, row: Row, owner: str, fate: Fate) -> None:
        """The row was deleted, or became somebody else's."""
        self.changes[row].append(Change(owner, None, fate))

    def of(self, row: Row, owner: str) -> list[Change]:
        """What this owner should see of the row, and what he may see, in order."""
        return [
            change for change in self.changes.get(row, ()) if change.owner == owner and change.fate.outcome != "undone"
        ]

    def marks(self) -> set[int]:
        """The marks that were committed for sure."""
        return {
            change.mark
            for changes in self.changes.values()
            for change in changes
            if change.mark is not None and change.fate.outcome == "committed"
        }


@dataclass(frozen=True, slots=True)
class Sight:
    """A message about a row; `mark` None where it is gone."""

    row: Row
    mark: int | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a refetch has found, in all tables or in one."""

    source: str | None
    found: Mapping[Row, int]


class Viewer:
    """One owner's client, whatever it is connected by. Feed `saw` with every message, in order."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.cursor: str | None = None
        """The newest place that it was told: what to come back with."""
        self.sights: list[Sight | Fetch] = []
        self.repeats = 0
        """Messages that came again, by their id. They were dropped."""
        self.strange: list[str] = []
        """What should not have come at all."""
        self.resyncs: list[str] = []
        """The reasons for which it was told to refetch."""
        self.outcomes: list[str] = []
        self.done = asyncio.Event()
        """Set by the owner's last change."""
        self._ids: set[str] = set()

    @property
    def arrived(self) -> int:
        """Messages about rows."""
        return sum(isinstance(sight, Sight) for sight in self.sights)

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
            # Whoever comes without a place begins with a first load.
            return None if known and data["outcome"] != "resync" else "all"
        if kind == "resync":
            self.resyncs.append(data["reason"])
            return "all" if not data.get("sources") else str(data["sources"][0])
        if kind == "rows-changed":
            self.resyncs.append(data["reason"])
            return str(data["source"])
        if (sight := _sight(kind, data)) is None:
            return None
        if message["id"] in self._ids:
            self.repeats += 1
            return None
        self._ids.add(message["id"])
        self.sights.append(sight)
        if sight.mark == LAST:
            self.done.set()
        return None

    def fetched(self, found: Mapping[Row, int], source: str | None = None) -> None:
        """What the tables hold, read after the message that asked for it."""
        self.sights.append(Fetch(source, found))
        # Of a table that it did not ask for it knows nothing: the messages are still to come.
        if any(mark == LAST and source in (None, row[0]) for row, mark in found.items()):
            self.done.set()


def _sight(kind: str, data: Mapping[str, Any]) -> Sight | None:
    if kind == "agent-task-update":
        return Sight((TASKS, data["task_id"]), None if data["deleted"] else data["progress"])
    if kind.startswith("execution-"):
        return Sight((EXECUTIONS, data["execution_id"]), None if kind == "execution-deleted" else data["progress"])
    if kind == "row-changed":
        gone = data["op"] in ("delete", "leave")
        return Sight((data["source"], str(data["key"]["id"])), None if gone else data["row"]["progress"])
    return None


def verify(
    history: History, viewers: Iterable[Viewer], *, repeats: bool = False, conflated: Collection[Viewer] = ()
) -> None:
    """Raises AssertionError, saying what was lost, out of order, or somebody else's.

    `repeats`: whether a message may come twice, as after an interrupted delivery. `conflated`: viewers to whom only the
    newest change of each row was promised.
    """
    faults: list[str] = []
    for viewer in viewers:
        faults += (f"{viewer.owner} was sent {what}" for what in viewer.strange)
        if viewer.repeats and not repeats:
            faults.append(f"{viewer.owner} got {viewer.repeats} messages twice")
        fetches = [(number, sight) for number, sight in enumerate(viewer.sights) if isinstance(sight, Fetch)]
        by_row: dict[Row, list[tuple[int, Sight | Fetch]]] = defaultdict(list)
        for number, sight in enumerate(viewer.sights):
            if isinstance(sight, Sight):
                by_row[sight.row].append((number, sight))
        held = {row for _, fetch in fetches for row in fetch.found}
        for row in sorted({*history.changes, *by_row, *held}):
            expected = history.of(row, viewer.owner)
            of_row = (sight for _, sight in merge(by_row[row], fetches, key=lambda pair: pair[0]))
            fault = _fault(row, expected, of_row, skip=viewer in conflated)
            if fault is not None:
                faults.append(f"{viewer.owner}, {row[0]} {row[1]}: {fault}")
    assert not faults, f"{len(faults)} faults, the first ones:\n" + "\n".join(faults[:10])


def _fault(row: Row, expected: list[Change], sights: Iterable[Sight | Fetch], *, skip: bool) -> str | None:
    """Follows all readings of what was seen at once: how many of the expected changes may have been dealt with by now."""
    sure = [change.fate.outcome == "committed" for change in expected]
    last = max((number for number, is_sure in enumerate(sure) if is_sure), default=-1)
    passable = [not is_sure or (skip and number < last) for number, is_sure in enumerate(sure)]
    places = {0}
    seen: list[str] = []
    for sight in sights:
        if isinstance(sight, Fetch):
            if sight.source not in (None, row[0]):
                continue
            found = sight.found.get(row)
            seen.append(f"fetched {found}")
            after = [n for n in range(len(expected) + 1) if _state(expected, n) == found]
            # What was fetched may be newer than the place from which the messages go on: then some of it comes again.
            places = set(range(min(places), max(after, default=-1) + 1))
        else:
            seen.append(str(sight.mark))
            places = {
                number + 1
                for number, change in enumerate(expected)
                if change.mark == sight.mark
                and any(place <= number and all(passable[place:number]) for place in places)
            }
        if not places:
            return f"expected {_listed(expected, sure)}, but came {', '.join(seen[-8:])}"
    if not any(all(passable[place:]) for place in places):
        return f"expected {_listed(expected, sure)}, and it ended with {', '.join(seen[-8:]) or 'nothing'}"
    return None


def _state(expected: list[Change], number: int) -> int | None:
    return expected[number - 1].mark if number else None


def _listed(expected: list[Change], sure: list[bool]) -> str:
    texts = [f"{change.mark}{'' if is_sure else '?'}" for change, is_sure in zip(expected, sure, strict=True)]
    return f"…{', '.join(texts[-8:])}" if texts else "nothing"
