"""Everything that can be said of one row's changes and one owner, gathered once, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ... import eventlog
from ...errors import ConfigurationError
from ...event import Event, Owner
from ...mapping import EventMapping
from ...sql import query
from .. import inquest
from ..inquest import Inquest
from ..watched import Watched, watched
from .conclusions import Conclusion, conclusions
from .row import Row, key_of, row_of
from .verdict import Fate, Verdict, fate, verdict

MOST_EVENTS = 20
"""Of the row, and as many of the table as a whole."""
READ_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """One event, whom it was for, and what became of it at each of the owner's sessions."""

    event: Event
    verdict: Verdict
    fates: tuple[tuple[Mapping[str, Any], Fate, str], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """See above."""

    watch: Watched
    key: Mapping[str, str]
    owner: Owner
    row: Row
    epoch: str | None
    oldest: datetime | None
    events: tuple[Told, ...]
    inquest: Inquest
    conclusions: tuple[Conclusion, ...]

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "table": self.watch.source,
            "key": dict(self.key),
            "owner": self.owner._asdict(),
            "row": {"exists": self.row.exists, "owner": self.row.owner, "problem": self.row.problem},
            "log": {"epoch": self.epoch, "oldest": None if self.oldest is None else self.oldest.isoformat()},
            "conclusions": [conclusion._asdict() for conclusion in self.conclusions],
            "events": [self._event(told) for told in self.events],
            "processes": [
                {
                    "backend": answer.backend,
                    "host": answer.host,
                    "pid": answer.pid,
                    "leading": answer.leading,
                    "sessions": list(answer.sessions),
                }
                for answer in self.inquest.answers
            ],
            "silent": list(self.inquest.silent),
        }

    def _event(self, told: Told) -> dict[str, Any]:
        event = told.event
        return {
            "id": f"{self.epoch}-{event.seq}",
            "xid": event.xid,
            "at": event.at.isoformat(),
            "op": event.op,
            "owner": None if event.owner is None else event.owner._asdict(),
            "partial": event.partial,
            "meant": told.verdict.meant,
            "sentence": told.verdict.sentence,
            "sessions": [
                {
                    "transport": session.get("transport"),
                    "user": session.get("user"),
                    "fate": fate,
                    "place": session["place"],
                }
                for session, fate, _ in told.fates
            ],
        }

    def as_text(self) -> str:
        """For people."""
        key = ", ".join(f"{name}={value}" for name, value in self.key.items())
        state = "is there" if self.row.exists else "is not there"
        lines = [f"{self.watch.source} ({key}) {state}; asked for {self.owner.kind}:{self.owner.value}", ""]
        lines += [f"- {conclusion.sentence}" for conclusion in self.conclusions]
        lines += ["", "in the log, the newest first:" if self.events else "in the log: nothing"]
        for told in self.events:
            event = told.event
            lines.append(
                f"  {event.at:%Y-%m-%d %H:%M:%S.%f}  {event.op:<8} {self.epoch}-{event.seq}: {told.verdict.sentence}"
            )
            for session, _, sentence in told.fates:
                lines.append(f"      {_session(session)} {sentence} (place {session['place']})")
        count = sum(len(answer.sessions) for answer in self.inquest.answers)
        lines += ["", f"{len(self.inquest.answers)} processes answered; they know of {count} sessions of this owner"]
        lines += [f"  no answer from the process with database session {pid}" for pid in self.inquest.silent]
        return "\n".join(lines)


async def explanation_of(
    connection: Any, mapping: EventMapping, owner: Owner, table: str, key: str, wait: float = inquest.WAIT_SECONDS
) -> Explanation:
    """Raises ConfigurationError where that cannot be asked, asyncpg.PostgresError.

    `wait`: seconds for the processes to answer. `connection`: as the role that owns the schema.
    """
    found = await watched(connection, table)
    if not found:
        raise ConfigurationError(
            f"{table} is not watched, so none of its changes are captured. changefeed watch {table} --owner COLUMN"
        )
    watch = found[0]
    values = await key_of(connection, watch, key)
    events = await eventlog.history(connection, watch.source, values, owner, MOST_EVENTS, READ_SECONDS)
    newest = next((event for event in events if event.key is not None), None)
    comparable = newest is not None and newest.op in ("insert", "update") and not newest.partial
    row = await row_of(connection, watch, values, newest.data if newest is not None and comparable else None)
    log = await connection.fetchrow(query("reach"))
    heard = await inquest.held(connection, owner, wait)
    topics, epoch = mapping.topics_of(watch.source), log["epoch"]
    return Explanation(
        watch=watch,
        key=values,
        owner=owner,
        row=row,
        epoch=epoch,
        oldest=log["oldest"],
        events=tuple(_told(event, owner, heard, topics, epoch) for event in events),
        inquest=heard,
        conclusions=tuple(conclusions(watch, row, events, owner, log["oldest"], log["leased"])),
    )


def _told(event: Event, owner: Owner, heard: Inquest, topics: Sequence[str], epoch: str) -> Told:
    meant = verdict(event, owner)
    sessions = [session for answer in heard.answers for session in answer.sessions] if meant.sent else []
    return Told(event, meant, tuple((session, *fate(event, session, topics, epoch)) for session in sessions))


def _session(session: Mapping[str, Any]) -> str:
    if "transport" not in session:
        return "a session"
    ended = "" if session["ended_at"] is None else f", ended with {session['close_code']}"
    return f"{session['transport']} of {session['user']} ({session['state']}{ended})"
