"""Who writes without being seen: roles and databases whose settings keep triggers from firing, and subscriptions."""

from collections.abc import Sequence

from ...sql import query
from .finding import Finding, Patient, ok, problem, warning

SERVER = "select reset_val from pg_settings where name = 'session_replication_role'"
SUBSCRIBED = "select s.srrelid::regclass::text from pg_subscription_rel s where s.srrelid = any ($1::oid[]) order by 1"


async def silent_roles(patient: Patient) -> Sequence[Finding]:
    """session_replication_role, changefeed.skip, and rows that replication writes."""
    found: list[Finding] = []
    tables = [watch.relation for watch in patient.watches if watch.name is not None]
    rows = await patient.connection.fetch(query("doctor_roles"), tables)
    for row in rows:
        parameter = row["setting"].partition("=")[0]
        where = "" if row["database"] is None else f" in database {row['database']}"
        target = "all" if row["role"] == "every role" else row["role"]
        reset = f"alter role {target}{where} reset {parameter}"
        if target == "all" and row["database"] is not None:
            reset = f"alter database {row['database']} reset {parameter}"
        if parameter == "session_replication_role":
            sentence = f"{row['role']}{where} has {row['setting']}: no trigger fires, and nothing of what it writes is captured"
            found.append(problem("silent-roles", sentence, reset))
        else:
            sentence = f"{row['role']}{where} has {row['setting']}: nothing of what it writes is captured"
            found.append(warning("silent-roles", sentence, f"{reset}, unless that is wanted"))
    if await patient.connection.fetchval(SERVER) == "replica":
        sentence = "session_replication_role is replica for the whole server: no trigger fires, and nothing is captured"
        found.append(problem("silent-roles", sentence, "take it out of postgresql.conf"))
    if subscribed := [row[0] for row in await patient.connection.fetch(SUBSCRIBED, tables)]:
        sentence = f"a subscription writes to {', '.join(subscribed)}: triggers do not fire for what replication writes"
        found.append(warning("silent-roles", sentence, "watch the tables where they are written first"))
    return found or [ok("silent-roles", "no role that may write to a watched table keeps triggers from firing")]
