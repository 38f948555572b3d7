"""The server and this machine: do their clocks agree, is there room for our connections?"""

from collections.abc import Sequence

from ...sql import query
from .finding import Finding, Patient, ok, problem, warning

TOLERATED_SKEW = 1.0
"""Seconds: from here on a token may seem not yet valid, and latencies are nonsense."""
FEW_CONNECTIONS = 3


async def clock(patient: Patient) -> Sequence[Finding]:
    """This machine's clock against the database's. The question's own way there and back is a part of the answer."""
    before = patient.clock()
    theirs: float = await patient.connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    after = patient.clock()
    # What cannot be told from the time that the answer took is no difference.
    skew = max(before - theirs, theirs - after, 0.0)
    direction = "behind" if theirs > after else "ahead of"
    if skew >= TOLERATED_SKEW:
        return [
            warning(
                "clock",
                f"this machine's clock is {skew:.1f} s {direction} the database's: tokens may be taken for expired or for not "
                "yet valid, a kick for older than it is, and capture-to-send latencies are wrong by as much",
                "synchronise both with NTP; CHANGEFEED_JWT_LEEWAY bridges up to 60 s for tokens",
            )
        ]
    return [ok("clock", f"this machine and the database agree to within {max(skew, after - before):.3f} s")]


async def connections(patient: Patient) -> Sequence[Finding]:
    """Room for one more process of ours."""
    row = await patient.connection.fetchrow(query("doctor_connections"))
    limits = {
        "max_connections": row["server"],
        "the connection limit of this role": row["role"],
        "the connection limit of this database": row["database"],
    }
    limits = {name: left for name, left in limits.items() if left is not None}
    name, left = min(limits.items(), key=lambda pair: pair[1])
    settings = patient.settings
    needed = 1 + settings.pool_size + settings.host_pool_size
    if left < needed:
        say = problem if left < FEW_CONNECTIONS else warning
        return [
            say(
                "connections",
                f"{left} more connections are allowed by {name}, and each process of ours takes up to {needed}",
                "raise that limit, end sessions that nobody needs, or lower CHANGEFEED_POOL_SIZE and CHANGEFEED_HOST_POOL_SIZE",
            )
        ]
    return [ok("connections", f"{left} more are possible; a process of ours takes up to {needed}")]
