"""What was committed: each row's changes in their order, as the writers say, and what became of the transactions.

A change belongs to the owner who should see it. Note one while its transaction holds the row: then a row's changes stand
in the order of its locks. What has an owner through a parent (`below`) changes hands with the parent, whatever is in
flight then; see `passed`.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

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


@dataclass(slots=True)
class Change:
    """What one owner should see of one change of a row: `mark` None where the row is gone for him."""

    owner: str
    mark: int | None
    fate: Fate
    racing: bool = False
    """It was in flight while its parent passed to somebody else: either he sees it, or he is told to refetch."""

    @property
    def sure(self) -> bool:
        """Whether it has to be seen."""
        return not self.racing and self.fate.outcome == "committed"


class History:
    """Every change of every row, in the order of the row's locks."""

    def __init__(self) -> None:
        self.changes: dict[Row, list[Change]] = defaultdict(list)
        self.transactions = 0
        """Committed ones that changed something."""
        self.committed = 0
        """Changes in them, about: `sure` counts."""
        self.overtaken = 0
        """Transactions that committed after one which had begun later."""
        self._newest = 0
        self._below: dict[str, set[Row]] = defaultdict(set)

    def written(self, row: Row, owner: str, mark: int, fate: Fate, *, below: str = "") -> None:
        """The row was inserted or updated, and is this owner's, or its parent is."""
        self.changes[row].append(Change(owner, mark, fate))
        if below:
            self._below[below].add(row)

    def gone(self, row: Row, owner: str, fate: Fate) -> None:
        """The row was deleted, or became somebody else's."""
        self.changes[row].append(Change(owner, None, fate))

    def ended(self, number: int, changes: int) -> None:
        """The transaction that was the `number`th to begin has committed, with so many changes."""
        self.transactions += changes > 0
        self.committed += changes
        self.overtaken += number < self._newest
        self._newest = max(self._newest, number)

    def in_flight(self, parent: str) -> list[tuple[Row, Change]]:
        """Changes of rows below this parent of which it is not known yet what will become of them."""
        found: list[tuple[Row, Change]] = []
        for row in self._below[parent]:
            newest: list[tuple[Row, Change]] = []
            for change in reversed(self.changes[row]):
                # Whoever wrote before must have ended, because the row was locked.
                if change.fate.outcome == "committed":
                    break
                newest.append((row, change))
            found += reversed(newest)
        return found

    def passed(self, parent: str, old: str, new: str, racing: list[tuple[Row, Change]]) -> None:
        """The parent has become another's, and all rows below it with it; `racing` was in flight when that began."""
        fate = Fate()
        fate.decide("committed")
        late: dict[Row, list[Change]] = defaultdict(list)
        for row, change in racing:
            change.racing = True
            late[row].append(change)
        for row in self._below[parent]:
            changes = self.changes[row]
            before = [change for change in changes if change.sure]
            if before and before[-1].mark is not None:
                changes += (Change(old, None, fate), Change(new, before[-1].mark, fate))
                self.committed += 2
            elif late[row]:
                # Inserted by whoever is still in flight: the former owner may have been told, and has it no more.
                changes.append(Change(old, None, late[row][0].fate))
            changes += (Change(new, change.mark, change.fate) for change in late[row])

    def of(self, row: Row, owner: str) -> list[Change]:
        """What this owner should see of the row, and what he may see, in order."""
        return [
            change for change in self.changes.get(row, ()) if change.owner == owner and change.fate.outcome != "undone"
        ]

    def sure(self) -> int:
        """How many changes there are that their owners have to see."""
        return sum(change.sure for changes in self.changes.values() for change in changes)

    def marks(self) -> set[int]:
        """The marks that were committed for sure."""
        return {
            change.mark
            for changes in self.changes.values()
            for change in changes
            if change.mark is not None and change.fate.outcome == "committed"
        }
