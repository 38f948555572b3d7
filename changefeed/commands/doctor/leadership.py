"""The relay that leads: is there one, is it awake in the other sense, does capture go on, and does anybody hold our locks?"""

from collections.abc import Sequence
from typing import Any

from ...listener import ASLEEP, FOLLOWER, LEADER, LOCK_CLASS
from ...sql import query
from .activity import named
from .finding import Finding, Patient, ok, problem, warning

LAPSED, PRESENCE = 4, 5
EFFECTS = {
    ASLEEP: "the relay cannot sleep, and writers may ring with each change",
    LEADER: "no relay can lead: retention stands still, and capture will stop",
    FOLLOWER: "the leader does not ring the other processes, which then look once a second",
    LAPSED: "should capture stop, nobody is told of what commits after it goes on again",
    PRESENCE: "the cap on a user's connections holds in each process alone",
}
"""What it means that somebody else holds a lock."""


async def leader(patient: Patient) -> Sequence[Finding]:
    """Whether one leads, and says something from time to time."""
    row = await patient.connection.fetchrow(query("leader"), LOCK_CLASS, LEADER)
    if row is None:
        sentence = "no relay leads: changes arrive up to a second late, retention stands still, and capture will stop"
        return [problem("leader", sentence, "start the API with CHANGEFEED_RELAY on, or `changefeed relay`")]
    silent = row["silent"]
    if silent is None:
        sentence = f"database session {row['pid']} leads, of another role than this one, so it cannot be seen whether it is well"
        return [warning("leader", sentence, "let all processes connect with the same role")]
    if silent >= patient.settings.heartbeat_timeout:
        return [
            problem(
                "leader",
                f"the leader (database session {row['pid']}) has said nothing for {silent:.0f} s: its process is frozen",
                f"another process ends its session by itself; where there is none: select pg_terminate_backend({row['pid']})",
            )
        ]
    return [ok("leader", f"database session {row['pid']} leads, and spoke {silent:.1f} s ago")]


async def lease(patient: Patient) -> Sequence[Finding]:
    """Whether the database lets capture go on."""
    row = await patient.connection.fetchrow(
        "select extract(epoch from until - clock_timestamp())::float8 as seconds, cardinality(lapsed) as writing"
        " from changefeed.state"
    )
    if row["seconds"] <= 0:
        sentence = f"capture stopped {-row['seconds']:.0f} s ago, because no relay had led for CHANGEFEED_MAX_ABSENCE"
        return [problem("capture", sentence, "start a relay: it starts capture, and every client refetches once")]
    if row["writing"]:
        sentence = (
            f"capture had stopped, and transactions that wrote meanwhile are open ({row['writing']}): when one ends,"
            " every client refetches"
        )
        return [warning("capture", sentence, "end that transaction, see long-transactions")]
    return [ok("capture", f"goes on, and would stop in {row['seconds'] / 3600:.1f} h if nobody led")]


async def locks(patient: Patient) -> Sequence[Finding]:
    """Any role may take an advisory lock; ours are told by their class."""
    found: list[Finding] = []
    for row in await patient.connection.fetch(query("doctor_locks"), LOCK_CLASS):
        if row["ours"] or not _disturbs(row, patient.patience):
            continue
        holder = f"pid {row['pid']}, which is gone" if row["role"] is None else named(row)
        effect = EFFECTS.get(row["number"], "nothing of ours is concerned")
        say = problem if row["number"] == LEADER else warning
        sentence = f"{holder} holds our lock ({LOCK_CLASS}, {row['number']}) as {row['mode']}: {effect}"
        found.append(
            say("locks", sentence, f"end it: select pg_terminate_backend({row['pid']}), and ask its owner why")
        )
    return found or [ok("locks", "nobody else holds our advisory locks")]


def _disturbs(row: Any, patience: float) -> bool:
    # Writers share "asleep" while they write, and "lapsed" where capture has stopped: that is what these locks are for.
    shared = row["mode"] == "ShareLock" and row["number"] in (ASLEEP, LAPSED)
    return not shared or row["idle"] or row["seconds"] >= patience
