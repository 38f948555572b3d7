"""The log: what it takes, whether it is emptied in time, and what the capture could not do."""

from collections.abc import Sequence

from ...sql import query
from .activity import named
from .finding import Finding, Patient, ok, problem, warning

FRESH_ERROR = 3600.0
"""Seconds for which a failure of the capture is a problem, and not history."""
LARGE = 10 << 30
"""Bytes from which on the log is worth a thought."""

ERRORS = """
select e.source, count(*) as count, (array_agg(e.data ->> 'message' order by e.seq desc))[1] as message,
       extract(epoch from clock_timestamp() - max(e.at))::float8 as seconds
  from changefeed.event e where e.op = 'error' group by e.source order by e.source
"""
OLDEST = """
select extract(epoch from clock_timestamp() - e.at)::float8 as age, extract(epoch from s.retention)::float8 as retention
  from changefeed.state s left join lateral (select e.at from changefeed.event e order by e.xid limit 1) as e on true
"""


async def capture_errors(patient: Patient) -> Sequence[Finding]:
    """By table, with what the last one said."""
    found = []
    for row in await patient.connection.fetch(ERRORS):
        say = problem if row["seconds"] < FRESH_ERROR else warning
        sentence = (
            f"the capture of {row['source']} has failed {row['count']} times in what the log holds, "
            f"last {row['seconds']:.0f} s ago: {row['message']}"
        )
        remedy = (
            "the writes went through, and clients were told to refetch; mend what it says, then watch the table again"
        )
        found.append(say("capture-errors", sentence, remedy))
    before: int = await patient.connection.fetchval("select capture_errors from changefeed.state")
    return found or [ok("capture-errors", f"none in what the log holds; {before} before that")]


async def leaves(patient: Patient) -> Sequence[Finding]:
    """What they take, and which of them cannot be emptied."""
    rows = await patient.connection.fetch(query("doctor_leaves"))
    found = [
        warning(
            "log",
            f"{row['name']} cannot be sealed, and so not be emptied: {named(row)} is writing to it, though its time is over",
            f"end that transaction: commit, or select pg_terminate_backend({row['pid']})",
        )
        for row in rows
        if row["pid"] is not None and row["role"] is not None and row["seconds"] is not None
        if row["slot"] >= 0 and row["filled"] and not row["current"] and row["sealed_at"] is None
    ]
    stray = next((row for row in rows if row["slot"] < 0 and row["filled"]), None)
    if stray is not None:
        sentence = f"{stray['name']} holds rows: a leaf was missing when they were written, or its slot was not known"
        found.append(
            warning("log", sentence, "nothing is lost by it; see that the eight leaves event_0 to event_7 are attached")
        )
    total = sum(row["bytes"] for row in rows)
    sizes = ", ".join(f"{row['name']} {_size(row['bytes'])}" for row in rows if row["filled"])
    if total >= LARGE:
        sentence = f"it takes {_size(total)}: {sizes}"
        found.append(
            warning("log", sentence, "lower CHANGEFEED_RETENTION, watch fewer columns, or let bulk_rows be smaller")
        )
    return found or [ok("log", f"it takes {_size(total)}" + (f": {sizes}" if sizes else ", and is empty"))]


async def retention(patient: Patient) -> Sequence[Finding]:
    """Whether what is older than it should be is gone."""
    row = await patient.connection.fetchrow(OLDEST)
    age, kept = row["age"], row["retention"]
    # A slot is sealed up to a fifth late and emptied a retention after that.
    if age is not None and age > 2 * kept:
        return [
            warning(
                "retention",
                f"the oldest row of the log is {age / 3600:.1f} h old, and events are to be kept for {kept / 3600:.1f} h",
                "see that a relay leads, and that no transaction pins a leaf (see log, long-transactions, prepared-transactions)",
            )
        ]
    if age is None:
        return [ok("retention", f"{kept / 3600:.1f} h; the log is empty")]
    return [ok("retention", f"{kept / 3600:.1f} h; the oldest row is {age / 3600:.1f} h old")]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
