"""Coming back, as tests do it: a place, the answer, and what is said at once."""

from __future__ import annotations

from changefeed.feed import Feed
from changefeed.listener import LEADER, LOCK_CLASS
from changefeed.subscription import Subscription
from tests.integration.vocabulary import (
    PATIENCE,
    Connection,
    Message,
    Tasks,
    told,
    until_seen,
)

MEMORY = {"memory": {}, "log": {"window_events": 0}}
"""Where the answer comes from, by settings."""


async def place_of(running: Feed, tasks: Tasks) -> str:
    """A place to come back with, after everything that has happened."""
    await until_seen(running, tasks.app)
    async with tasks.subscribe(running) as subscription:
        (ready,) = await told(subscription)
        return str(ready["cursor"])


async def answer(running: Feed, tasks: Tasks, since: str, **options: object) -> list[Message]:
    """What somebody is told who comes back with this place, at once."""
    async with tasks.subscribe(running, since=since, **options) as subscription:
        return await said_at_once(subscription)


async def said_at_once(subscription: Subscription) -> list[Message]:
    """The answer, and the resync that may follow it."""
    said = await told(subscription)
    if said[0]["data"]["outcome"] == "resync":
        while said[-1]["type"] != "resync":
            said += await told(subscription)
    return said


def reason(said: list[Message]) -> str:
    """Why everything is to be fetched again; the answer has said so too."""
    ready, *resyncs = said
    assert ready["data"]["outcome"] == "resync"
    assert {(message["type"], message["cursor"]) for message in resyncs} == {("resync", ready["cursor"])}
    return str(resyncs[0]["data"]["reason"])


async def until_nobody_leads(admin: Connection) -> None:
    """Waits until the server has noticed that the leader is gone."""
    await admin.execute("select pg_advisory_lock($1, $2)", LOCK_CLASS, LEADER, timeout=PATIENCE)
    await admin.execute("select pg_advisory_unlock($1, $2)", LOCK_CLASS, LEADER)
