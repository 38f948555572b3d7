"""Words for tests of the capture: what a test did not look at yet in the log, and what the bell said.

Assumes that whoever reads the log may: it belongs to the role changefeed.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

LOCK_CLASS = 1667785319
ASLEEP = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the log, its JSON parsed; numbers with a fraction are Decimal."""

    xid: int
    source: str
    op: str
    key: dict[str, Any] | None
    owner: str | None
    owner_kind: str | None
    data: dict[str, Any] | None
    before: dict[str, Any] | None
    partial: bool
    seen: str | None

    @property
    def brief(self) -> tuple[str, Any, str | None]:
        """Op, the key's values (a single one without a tuple), owner."""
        values = tuple((self.key or {}).values())
        return self.op, values[0] if len(values) == 1 else values or None, self.owner


class Log:
    """The event log, as far as it has not been looked at. Sees what has committed, in the order of seq."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._seen: list[int] = []

    async def new(self, source: str | None = None) -> list[Recorded]:
        """What was recorded since the last call, of one source or of all."""
        rows = await self._connection.fetch(
            "select seq, xid, source, op, key, owner, owner_kind, data, before, partial, seen::text as seen"
            " from changefeed.event where seq <> all ($1) order by seq",
            self._seen,
        )
        self._seen += [row["seq"] for row in rows]
        return [_recorded(row) for row in rows if source in (None, row["source"])]

    async def briefly(self, source: str | None = None) -> list[tuple[str, Any, str | None]]:
        """As `new`: op, key and owner of each."""
        return [event.brief for event in await self.new(source)]

    async def only(self) -> Recorded:
        """The one event that was recorded since the last call."""
        (event,) = await self.new()
        return event


class Bell:
    """What a sleeping relay would hear. Nothing is rung while the relay is awake, which it is until it sleeps."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._heard: list[str] = []

    async def listen(self) -> None:
        await self._connection.add_listener("changefeed", self._hear)

    async def fall_asleep(self) -> bool:
        """Take the lock "asleep" as a relay does. False: a writer is in flight who believes the relay awake."""
        return bool(await self._connection.fetchval("select pg_try_advisory_lock($1, $2)", LOCK_CLASS, ASLEEP))

    async def wake(self) -> None:
        await self._connection.execute("select pg_advisory_unlock($1, $2)", LOCK_CLASS, ASLEEP)

    async def rung(self) -> list[str]:
        """The payloads since the last call. Notifications come in the order of commits: ours is behind them all."""
        await self._connection.execute("notify changefeed, 'nothing more'")
        assert self._heard.pop() == "nothing more"
        heard, self._heard = self._heard, []
        return heard

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._heard.append(str(payload))


def _recorded(row: asyncpg.Record) -> Recorded:
    def parsed(text: str | None) -> dict[str, Any] | None:
        return None if text is None else json.loads(text, parse_float=Decimal)

    return Recorded(
        xid=row["xid"],
        source=row["source"],
        op=row["op"],
        key=parsed(row["key"]),
        owner=row["owner"],
        owner_kind=row["owner_kind"],
        data=parsed(row["data"]),
        before=parsed(row["before"]),
        partial=bool(row["partial"]),
        seen=row["seen"],
    )


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        connection.terminate()


async def visible_in(connection: asyncpg.Connection, xid: int, snapshot: str | None) -> bool:
    """Whether a snapshot sees a transaction."""
    return bool(
        await connection.fetchval(
            "select pg_visible_in_snapshot($1::text::xid8, $2::text::pg_snapshot)", str(xid), snapshot
        )
    )


def told(events: list[Recorded]) -> list[tuple[str | None, object]]:
    """Who was told to refetch because of an owner change, and who was named as the other."""
    assert all(event.op == "bulk" and event.key is None for event in events)
    for event in events:
        assert (event.data or {})["reason"] == "owner"
        assert event.owner_kind == "user"
    return [(event.owner, (event.data or {}).get("other")) for event in events]
