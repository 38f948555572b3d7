"""What others do in the database for so long that it holds up the feed: open transactions, and prepared ones that nobody ends."""

from collections.abc import Sequence
from typing import Any

from ...sql import query
from .finding import Finding, Patient, ok, problem, warning


def named(row: Any) -> str:
    """A session, so that it can be found."""
    application = f", {row['application']}" if row["application"] else ""
    return f"pid {row['pid']} ({row['role']}@{row['database']}{application}, {row['state']}, open for {row['seconds']:.0f} s)"


async def long_transactions(patient: Patient) -> Sequence[Finding]:
    """In this database."""
    database = await patient.connection.fetchval("select current_database()")
    rows = await patient.connection.fetch(query("doctor_transactions"), patient.patience, database)
    if not rows:
        return [ok("long-transactions", f"none that this role may see is older than {patient.patience:.0f} s")]
    return [
        warning(
            "long-transactions",
            f"{'; '.join(map(named, rows))}. What they wrote arrives when they end; until then the relay cannot sleep, and "
            "the log cannot be emptied beyond them",
            "end them: commit, or select pg_terminate_backend(PID). Where it is a habit: idle_in_transaction_session_timeout",
        )
    ]


async def prepared(patient: Patient) -> Sequence[Finding]:
    """Transactions that were prepared, and that nobody has ended."""
    rows = await patient.connection.fetch(
        "select gid, owner, extract(epoch from clock_timestamp() - prepared)::float8 as seconds from pg_prepared_xacts"
        " where database = current_database() and prepared < clock_timestamp() - make_interval(secs => $1) order by prepared",
        patient.patience,
    )
    if not rows:
        return [ok("prepared-transactions", f"none is older than {patient.patience:.0f} s")]
    return [
        problem(
            "prepared-transactions",
            f"{row['gid']!r} of {row['owner']} was prepared {row['seconds']:.0f} s ago, and nobody has ended it: it keeps "
            "its locks, also over restarts, and what it wrote arrives when it ends",
            f"as {row['owner']}: commit prepared '{row['gid']}', or rollback prepared '{row['gid']}'",
        )
        for row in rows
    ]
