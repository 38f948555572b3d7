"""A place in the log: an epoch and a Postgres snapshot.

What comes after a cursor is what its snapshot could not see. Ids would lose rows (they are taken before the commit), and
a horizon would stall behind every long transaction; a snapshot does neither, and only the transactions that were in
flight are waited for. See `docs/design/cursor.md`.

Outside the process a cursor is an opaque text. Parsing trusts nothing: whatever is not exactly what `str()` makes
raises CursorError. No I/O here.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from .errors import CursorError

MAX_LENGTH = 16384
"""Of a cursor's text: room for about two thousand transactions in flight."""

_TEXT = re.compile(r"[0-9a-f]{16}\.[1-9a-f][0-9a-f]{0,15}\.(?:0|[1-9a-f][0-9a-f]{0,15})(?:\.[0-9a-f]+(?:-[0-9a-f]+)*)?")
_MAX_XID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a statement could see: every transaction below `xmin`, none from `xmax` on, and between them not `xip`."""

    xmin: int
    xmax: int
    xip: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """From Postgres' own text, `xmin:xmax:xip,…`."""
        xmin, xmax, xip = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, xip.split(",")) if xip else ()))

    @classmethod
    def below(cls, xid: int, running: Collection[int]) -> "Snapshot":
        """What sees every transaction below `xid`, but for those that are `running`."""
        xip = frozenset(one for one in running if one < xid)
        return cls(min(xip, default=xid), xid, xip)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.xip)))}"

    def includes(self, xid: int) -> bool:
        """Whether this transaction had ended when the snapshot was taken."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.xip)

    def covers(self, other: "Snapshot") -> bool:
        """Whether everything that `other` sees is seen by this one too."""
        return self.xmax >= other.xmax and not any(other.includes(xid) for xid in self.xip)

    def joined(self, other: "Snapshot") -> "Snapshot":
        """What sees everything that one of the two sees, and nothing else."""
        first, last = sorted((self, other), key=lambda snapshot: snapshot.xmax)
        return Snapshot.below(last.xmax, [xid for xid in last.xip if not first.includes(xid)])


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the log of one epoch."""

    epoch: str
    snapshot: Snapshot

    def __str__(self) -> str:
        snapshot = self.snapshot
        text = f"{self.epoch}.{snapshot.xmin:x}.{snapshot.xmax - snapshot.xmin:x}"
        if not snapshot.xip:
            return text
        steps, last = [], snapshot.xmin
        for xid in sorted(snapshot.xip):
            steps.append(f"{xid - last:x}")
            last = xid
        return f"{text}.{'-'.join(steps)}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """From what a client sent. Raises CursorError for anything that `str()` would not have written."""
        if len(text) > MAX_LENGTH or not _TEXT.fullmatch(text):
            raise CursorError("This is no cursor. Send back one that came with a message, unchanged.")
        epoch, low, width, *rest = text.split(".")
        xmin = int(low, 16)
        xip, last = [], xmin
        for step in rest[0].split("-") if rest else ():
            last += int(step, 16)
            xip.append(last)
        cursor = cls(epoch, Snapshot(xmin, xmin + int(width, 16), frozenset(xip)))
        if cursor.snapshot.xmax > _MAX_XID or (xip and last >= cursor.snapshot.xmax) or str(cursor) != text:
            raise CursorError("This is no cursor. Send back one that came with a message, unchanged.")
        return cursor
