"""What follows from the watch, the row and the log together: why somebody may see nothing though something changed. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ...event import Event, Owner
from ..watched import Watched
from .row import Row

TRIGGERS = 4


class Conclusion(NamedTuple):
    """One of them: a stable name, and a sentence."""

    name: str
    sentence: str


def conclusions(
    watch: Watched, row: Row, events: Sequence[Event], owner: Owner, oldest: datetime | None, leased: bool
) -> list[Conclusion]:
    """All of them, what matters most first. `events`: of the row and of its table, the newest first."""
    found = [*_capturing(watch, leased), *_captured(watch, row, events, oldest), *_owned(watch, row, events, owner)]
    if watch.unwatched:
        found.append(
            Conclusion(
                "columns", f"a change of nothing but {', '.join(watch.unwatched)} is not captured: they are not watched"
            )
        )
    return found


def _capturing(watch: Watched, leased: bool) -> list[Conclusion]:
    found = []
    if watch.name is None:
        found.append(Conclusion("table-gone", f"{watch.source} is no more: it was dropped, or renamed and made anew"))
    elif watch.paused:
        found.append(
            Conclusion(
                "paused", f"the capture of {watch.source} is paused; changefeed.resume('{watch.source}') ends that"
            )
        )
    elif watch.enabled < TRIGGERS:
        found.append(
            Conclusion(
                "triggers", f"{TRIGGERS - watch.enabled} of the triggers on {watch.source} are missing or disabled"
            )
        )
    if watch.lost:
        found.append(
            Conclusion(
                "columns-gone",
                f"{', '.join(watch.lost)} are watched, and there no more: every capture of the table fails",
            )
        )
    if not leased:
        found.append(Conclusion("lease", "capture has stopped, because no relay led for too long"))
    return found


def _captured(watch: Watched, row: Row, events: Sequence[Event], oldest: datetime | None) -> list[Conclusion]:
    mine = [event for event in events if event.key is not None]
    if row.problem is not None:
        return [Conclusion("row-unreadable", f"the row cannot be read as the capture reads it: {row.problem}")]
    reach = f"which goes back to {oldest:%Y-%m-%d %H:%M:%S %Z}" if oldest is not None else "which is empty"
    ways = (
        "with changefeed.skip on, while the table was paused or its triggers were disabled, "
        "in a session with session_replication_role = replica, or while capture had stopped"
    )
    if not mine:
        told = _covered(events, after=0)
        if told:
            return [Conclusion("row-covered", f"no event of this row alone is in the log, but {told}")]
        since = (
            ""
            if oldest is not None and watch.watched_at < oldest
            else f"; the table is watched since {watch.watched_at:%Y-%m-%d %H:%M:%S %Z}"
        )
        return [
            Conclusion(
                "not-in-log",
                f"no change of this row is in the log, {reach}{since}. It is older, or was of columns that are not watched, "
                f"or was made {ways}",
            )
        ]
    newest = mine[0]
    gone = newest.op in ("delete", "leave")
    if row.exists == gone:
        missing = "the row is there again" if row.exists else "the row is gone"
    elif row.differs:
        missing = f"{', '.join(row.differs)} of the row have changed since"
    elif row.differs is None and not gone:
        return [Conclusion("captured", "the newest event holds the key alone, so it cannot be compared with the row")]
    else:
        return [Conclusion("captured", "the newest event is what the row is now: its last change was captured")]
    if told := _covered(events, after=newest.seq):
        return [Conclusion("row-covered", f"{missing} its newest event, but {told}")]
    return [Conclusion("not-captured", f"{missing} its newest event, and that was not captured: it was made {ways}")]


def _covered(events: Sequence[Event], after: int) -> str | None:
    for event in events:
        if event.key is None and event.owner is None and event.seq > after:
            what = (
                "a capture of the table failed"
                if event.op == "error"
                else f"there is a `{event.op}` event of the table"
            )
            return f"{what} at {event.at:%H:%M:%S}, by which everybody was told to refetch"
    return None


def _owned(watch: Watched, row: Row, events: Sequence[Event], owner: Owner) -> list[Conclusion]:
    if owner.kind != watch.owner_kind:
        told = f"owners of {watch.source} are of kind {watch.owner_kind}: ask with --owner-kind {watch.owner_kind}"
        return [Conclusion("owner-kind", told)]
    if not row.exists or row.problem is not None:
        return []
    if row.owner is None:
        return [Conclusion("no-owner", f"the owner expression gives nobody for this row now: {watch.owner}")]
    if row.owner != owner.value:
        return [
            Conclusion("owner-differs", f"the row belongs to {watch.owner_kind}:{row.owner} now, not to {owner.value}")
        ]
    newest = next((event for event in events if event.key is not None), None)
    if newest is not None and newest.owner is not None and newest.owner.value != row.owner:
        return [
            Conclusion(
                "owner-moved",
                f"the row belongs to {owner.value} now, but when it last changed it was {newest.owner.value}'s",
            )
        ]
    return [Conclusion("owner", f"the row belongs to {owner.value}")]
