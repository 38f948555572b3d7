"""Much at once: a backlog of a million events read and routed by one process, and a statement that changes 100,000 rows."""

import asyncio
import statistics
import time

import asyncpg

from changefeed import Feed, Owner, Settings

from .place import Place, furnish, postgres, relay
from .result import Result

OWNERS = 10_000
CONNECTED = 100

FILL = """
insert into changefeed.event (source, op, key, owner, owner_kind, data, before)
select 'public.workflow_execution', 'update', jsonb_build_object('id', md5(n::text)::uuid),
       '00000000-0000-4000-9000-' || lpad((n % $2)::text, 12, '0'), 'user',
       jsonb_build_object('id', md5(n::text)::uuid, 'workflow_id', md5('w' || n)::uuid, 'status', 'running',
                          'progress', n % 100, 'current_node', 'draft', 'error_message', null, 'cost_usd', 0.12,
                          'started_at', now(), 'completed_at', null),
       jsonb_build_object('progress', n % 100 - 1)
  from generate_series(1, $1) n
"""


async def measure(events: int, rows: int, rounds: int) -> list[Result]:
    """Both."""
    return [await _backlog(events), await _statement(rows, rounds)]


async def _backlog(events: int) -> Result:
    with postgres() as server:
        place = await furnish(server, "backlog", 1, 1)
        settings = Settings(dsn=place.dsns.feed_dsn)
        admin = await asyncpg.connect(place.dsns.admin_dsn)
        async with Feed(settings) as feed:
            await feed.pulse.until(lambda: feed.pulse.live, 10)
            owners = [Owner("user", place.owner(n)) for n in range(CONNECTED)]
            got = 0

            async def read(owner: Owner) -> None:
                nonlocal got
                async with feed.subscribe([owner]) as subscription:
                    while (items := await subscription.next(60)) is not None:
                        got += len(items)

            readers = [asyncio.create_task(read(owner)) for owner in owners]
            await asyncio.sleep(0)
            first = feed.pulse.found
            await admin.execute(FILL, events, OWNERS)
            began = time.monotonic()
            await feed.pulse.until(lambda: feed.pulse.found - first >= events, 600)
            elapsed = time.monotonic() - began
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
        await admin.close()
    result = Result(
        f"A backlog of {events:,} events",
        f"Written in one transaction, read and routed by one process; {CONNECTED} of {OWNERS:,} owners are connected.",
        raw={"seconds": elapsed, "messages": got},
    )
    result.compare("events/s", events / elapsed, 50_000, at_least=True, unit="/s")
    return result


async def _statement(rows: int, rounds: int) -> Result:
    found: dict[str, list[float]] = {"no trigger": [], "changefeed": [], "changefeed, every row": []}
    with postgres() as server:
        plain = await furnish(server, "plain", 1000, rows, migrate=False)
        watched = await furnish(server, "watched", 1000, rows)
        each = await furnish(server, "every", 1000, rows)
        await _watch_every_row(each)
        async with relay(watched), relay(each):
            for _ in range(rounds + 1):
                for kind, place in zip(found, (plain, watched, each), strict=True):
                    found[kind].append(await _update(place))
    found = {kind: numbers[1:] for kind, numbers in found.items()}
    result = Result(
        f"A {rows:,}-row UPDATE",
        f"{rounds} rounds in turn, medians. By default the rows after the first 10,000 become one event that says: refetch.",
        raw=dict(found),
    )
    for kind in ("changefeed", "changefeed, every row"):
        ratio = statistics.median(a / b for a, b in zip(found[kind], found["no trigger"], strict=True))
        if kind == "changefeed":
            result.compare("against no trigger", ratio, 1.5, at_least=False)
        result.table.append([kind, f"{statistics.median(found[kind]) * 1000:,.0f} ms", f"{ratio:.2f} x"])
    result.table.insert(0, ["no trigger", f"{statistics.median(found['no trigger']) * 1000:,.0f} ms", "1 x"])
    result.table.insert(0, ["", "time", "against no trigger"])
    return result


async def _update(place: Place) -> float:
    connection = await asyncpg.connect(place.dsns.app_dsn)
    try:
        # Without the bloat of the last round.
        await connection.execute("vacuum workflow_execution")
        began = time.monotonic()
        await connection.execute("update workflow_execution set progress = progress + 1")
        return time.monotonic() - began
    finally:
        await connection.close()


async def _watch_every_row(place: Place) -> None:
    connection = await asyncpg.connect(place.dsns.feed_dsn)
    try:
        await connection.execute(
            "select changefeed.watch('workflow_execution', w.owner, bulk_rows => 0) from changefeed.watch w"
            " where w.source = 'public.workflow_execution'"
        )
    finally:
        await connection.close()
