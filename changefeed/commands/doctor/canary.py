"""The canary: one real change, sent the whole way, to see whether it arrives, at its owner and at nobody else.

A table of doctor's own, in the schema `changefeed`, watched for the moment: written by SQL, captured by a trigger, logged, read
by a relay of doctor's own and matched at its owner; then every other process is asked whether it has read it as well.
Nothing of the application's is touched. What is left behind, if doctor is killed meanwhile, the next one removes.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from ...event import Owner
from ...feed import Feed
from ...relay import LOST
from .. import inquest
from .finding import Finding, Patient, ok, problem, warning

START_SECONDS = 10.0
ARRIVE_SECONDS = 10.0
SLOW = 2.0
"""Seconds: more than a safety poll takes."""
KIND = "canary"

LEFT_BEHIND = """
select c.relname::text from pg_class c
 where c.relnamespace = 'changefeed'::regnamespace and c.relname ~ '^canary_[0-9]+$' and c.relkind = 'r'
   and not exists (select from pg_stat_activity a where a.pid = substr(c.relname, 8)::int)
"""


async def flown(patient: Patient) -> Sequence[Finding]:
    """Send it."""
    connection = patient.connection
    for name in [row[0] for row in await connection.fetch(LEFT_BEHIND)]:
        await _remove(connection, name)
    settings = patient.settings.model_copy(update={"relay": False})
    async with Feed(settings) as feed:
        pulse = feed.pulse
        await pulse.until(lambda: pulse.connected or pulse.failure is not None, START_SECONDS)
        if not pulse.connected:
            sentence = f"could not be sent, because no relay can start: {pulse.problem}"
            return [problem("canary", sentence, "mend what the other findings say")]
        name = f"canary_{await connection.fetchval('select pg_backend_pid()')}"
        try:
            await connection.execute(f"create table changefeed.{name} (id int primary key, owner text not null)")
            await connection.execute(
                f"select changefeed.watch('changefeed.{name}', 'owner', owner_kind => '{KIND}')", timeout=ARRIVE_SECONDS
            )
            return await _sent(connection, feed, name)
        except LOST as error:
            return [
                problem("canary", f"could not be sent: {error}", "mend what the message says, and the other findings")
            ]
        finally:
            await _remove(connection, name)


async def _sent(connection: Any, feed: Feed, name: str) -> Sequence[Finding]:
    owner, stranger = Owner(KIND, uuid4().hex), Owner(KIND, uuid4().hex)
    async with feed.subscribe([owner]) as mine, feed.subscribe([stranger]) as anothers:
        for subscription in (mine, anothers):
            await subscription.next(ARRIVE_SECONDS)
        xid: int = await connection.fetchval(
            f"insert into changefeed.{name} values (1, $1) returning pg_current_xact_id()", owner.value
        )
        committed = time.monotonic()
        kinds = [item.kind for item in await mine.next(ARRIVE_SECONDS) or []]
        seconds = time.monotonic() - committed
        if kinds != ["row-changed"]:
            if not await connection.fetchval("select count(*) from changefeed.event where xid = $1", xid):
                sentence = "was written and not captured: its trigger did not fire, or capture has stopped"
                return [problem("canary", sentence, "see silent-roles and capture")]
            came = ", ".join(kinds) or "nothing"
            sentence = f"was captured, and did not arrive within {ARRIVE_SECONDS:.0f} s (what came: {came})"
            return [problem("canary", sentence, "see listen, leader and long-transactions")]
        if anothers.session.waiting:
            sentence = "arrived at somebody whose it is not"
            return [problem("canary", sentence, "stop the service, and report this: it must never happen")]
    found = await _elsewhere(connection, owner, xid)
    await connection.execute("delete from changefeed.event where xid = $1", xid)
    said = f"captured, and at its owner and nobody else {seconds * 1000:.0f} ms after its commit"
    if seconds >= SLOW:
        return [warning("canary", said, "see listen, leader and long-transactions"), *found]
    return [ok("canary", said), *found]


async def _elsewhere(connection: Any, owner: Owner, xid: int) -> Sequence[Finding]:
    heard = await inquest.held(connection, owner)
    # One of them is our own, which has read it.
    behind = [one for one in heard.answers if one.place is None or not one.place.snapshot.includes(xid)]
    found = [
        problem(
            "processes",
            f"process {one.pid} on {one.host} (database session {one.backend}) has not read the canary",
            "its log says why; restart it",
        )
        for one in behind
    ]
    found += [
        warning(
            "processes",
            f"the process with database session {backend} did not say within {inquest.WAIT_SECONDS} s whether it has read it",
            "it is busy, frozen, or of another release; its log says more",
        )
        for backend in heard.silent
    ]
    others = len(heard.answers) - 1
    return found or [ok("processes", f"others that follow the log: {others}; all of them have read the canary")]


async def _remove(connection: Any, name: str) -> None:
    try:
        await connection.execute(
            f"select changefeed.unwatch(to_regclass('changefeed.{name}')); drop table if exists changefeed.{name}"
        )
    except LOST:
        # Also where the connection is gone: the next doctor finds it.
        return
