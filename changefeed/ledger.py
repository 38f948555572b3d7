"""The running numbers of one scope (an owner, or everybody): an SQL aggregate at a known snapshot, and the events since.

Whether an event is in the aggregate already is decided by its transaction and the aggregate's snapshot, never by order or
time: exactly the events that the snapshot does not include are applied. Assumes that each event comes once. An aggregate
takes a while, and the log goes on meanwhile, so from before it is asked until it is answered the events are gathered.

| state               | event                      | ask       | answer                       | restart |
|---------------------|----------------------------|-----------|------------------------------|---------|
| UNKNOWN             | nothing                    | ASKED     | -                            | UNKNOWN |
| ASKED               | gathered                   | refused   | KNOWN; UNKNOWN if one of the | UNKNOWN |
|                     |                            |           | gathered cannot be applied   |         |
| KNOWN               | applied; UNKNOWN if it     | CHECKING  | -                            | UNKNOWN |
|                     | cannot be                  |           |                              |         |
| CHECKING            | applied and gathered; ASKED| refused   | KNOWN, and compared once the | UNKNOWN |
|                     | if it cannot be applied    |           | log is read as far           |         |

A statistic that has no deltas (`exact=False`: percentiles, the machine's load) uses the same: no event can be applied to
it, so each makes it UNKNOWN, but what was known is shown until there is something newer. Pure.
"""

from .cursor import Snapshot
from .event import Event
from .tally import Tally

MOST_GATHERED = 20_000
"""Events kept while an aggregate is under way; after more of them it is asked once more."""


class Ledger:
    """One scope's numbers."""

    __slots__ = ("_base", "_gathered", "_shadow", "_tally", "asked", "checked_at", "exact", "known", "version")

    def __init__(self, *, exact: bool) -> None:
        """`exact`: events can be applied, so that the numbers are either right or not told."""
        self.exact = exact
        self.known = False
        """Whether nothing has happened that the numbers lack."""
        self.asked = False
        """Whether an aggregate is under way."""
        self.version = 0
        """Counts the changes of the numbers."""
        self.checked_at = float("-inf")
        """When an aggregate last answered, by whoever keeps the time."""
        self._tally: Tally | None = None
        self._base: Snapshot | None = None
        self._gathered: list[Event] | None = None
        self._shadow: tuple[Snapshot, Tally] | None = None

    @property
    def tally(self) -> Tally | None:
        """The numbers as they may be told; None: they are not known."""
        return self._tally if self.known or not self.exact else None

    @property
    def fresh(self) -> bool:
        """Whether no aggregate has ever answered."""
        return self._tally is None

    @property
    def checking(self) -> bool:
        """Whether there is something to compare with, once the log is read as far."""
        return self._shadow is not None

    def follow(self, event: Event) -> bool:
        """An event of this scope. Returns whether the numbers changed, or are no longer known."""
        if self._gathered is not None and len(self._gathered) <= MOST_GATHERED:
            self._gathered.append(event)
        if self._shadow is not None and not _follow(*self._shadow, event):
            self._shadow = None
        if not self.known:
            return False
        assert self._base is not None
        assert self._tally is not None
        if self._base.includes(event.xid):
            return False
        if not _follow(self._base, self._tally, event):
            self.known = False
            self._shadow = None
        self.version += 1
        return True

    def forget(self) -> bool:
        """The numbers, also those of an answer that is under way, may be wrong. Returns whether they were known."""
        was, self.known = self.known, False
        self._shadow = self._gathered = None
        return was

    def restart(self) -> None:
        """The log is another one: no snapshot of before means anything."""
        self.forget()
        if self.exact:
            self._tally = self._base = None

    def ask(self) -> None:
        """An aggregate will be run: call this before its snapshot can be taken."""
        assert not self.asked
        self.asked = True
        self._gathered = []
        self._shadow = None

    def answer(self, snapshot: Snapshot, tally: Tally, now: float) -> None:
        """The aggregate has come, with the snapshot it was made under. Ignored where it was forgotten meanwhile."""
        gathered, self._gathered = self._gathered, None
        self.asked = False
        if gathered is None:
            return
        self.checked_at = now
        whole = len(gathered) <= MOST_GATHERED and all(_follow(snapshot, tally, event) for event in gathered)
        if whole and self.known and self.exact:
            self._shadow = (snapshot, tally)
        elif whole or not self.exact:
            self._tally, self._base, self.known = tally, snapshot, whole
            self.version += 1

    def give_up(self) -> None:
        """No answer will come: it must be asked for again."""
        self.asked = False
        self._gathered = None

    def compare(self, place: Snapshot) -> bool | None:
        """Compare with the last answer, if the log is read as far. Returns whether the numbers had drifted; None: not yet.

        Whatever it says, the answer's numbers are the ones that go on.
        """
        if self._shadow is None or not place.covers(self._shadow[0]):
            return None
        former, (self._base, self._tally) = self._tally, self._shadow
        self._shadow = None
        assert former is not None
        drifted = former.differs(self._tally)
        self.version += drifted
        return drifted


def _follow(base: Snapshot, tally: Tally, event: Event) -> bool:
    """Apply what `base` does not include. Returns False where that cannot be done: the numbers are then worth nothing."""
    if base.includes(event.xid):
        return True
    try:
        tally.apply(event)
    except Exception:
        # Whatever it is that cannot be read in an event, the tables know. Whoever publishes must not fail for it.
        return False
    return True
