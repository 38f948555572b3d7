"""From the commit to the client: 1,000 sockets and 1,000 changes a second, and an idle database with a change now and then.

The writer is a process of its own and puts a counter into the row it changes; it notes the moment at which its COMMIT
returned, the reader the moment at which a frame arrived. Both read the machine's one monotonic clock. The commit is
visible a little before the writer knows of it, so a latency may come out a little too small, never too large.
"""

import asyncio
import json
import re
import statistics
import sys
import time

import asyncpg

from .place import ROOT, Place, api, furnish, postgres
from .result import Result
from .wire import Socket, connect

PROGRESS = re.compile(rb'"progress":(\d+)')


async def measure(sockets: int, per_second: int, seconds: int) -> list[Result]:
    """Busy and idle."""
    with postgres() as server:
        place = await furnish(server, "latency", sockets, sockets)
        async with api(place) as (port, _):
            busy = await observed(place, port, sockets, per_second, seconds)
            idle = await observed(place, port, 1, 3, seconds)
            queries = await _queries_while_idle(place)
    load = Result(
        f"Commit → client, {sockets:,} sockets, {per_second:,} changes/s",
        f"{seconds} s; writer, service and readers are processes of their own on one machine.",
    )
    _tell(load, busy)
    load.compare("p50", _part(busy, 50), 5, at_least=False, unit="ms")
    load.compare("p99", _part(busy, 99), 25, at_least=False, unit="ms")
    calm = Result("Commit → client, idle database", f"{len(idle)} changes, about three a second.")
    _tell(calm, idle)
    calm.compare("p50", _part(idle, 50), 3, at_least=False, unit="ms")
    calm.compare("queries a second while idle", queries, 1.5, at_least=False, unit="")
    return [load, calm]


async def observed(
    place: Place, port: int, sockets: int, per_second: int, seconds: int, stalled: int = 0
) -> list[float]:
    """Latencies in milliseconds. The first `stalled` of as many more sockets stop reading."""
    seen: dict[int, float] = {}

    def heard(frame: bytes) -> None:
        if found := PROGRESS.search(frame):
            seen.setdefault(int(found[1]), time.monotonic())

    open_sockets: list[Socket] = [await connect(port, place.token(number), heard) for number in range(sockets)]
    for number in range(stalled):
        hung = await connect(port, place.token(number % sockets), lambda _: None)
        hung.pause()
        open_sockets.append(hung)
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.latency", place.dsns.app_dsn, str(sockets), str(per_second), str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await writer.communicate()
    committed = {int(number): moment for number, moment in json.loads(output).items()}
    # The last changes are under way still: everything is there when the number of those seen stands still.
    while len(seen) < len(committed):
        before = len(seen)
        await asyncio.sleep(0.5)
        if len(seen) == before:
            raise RuntimeError(f"{len(committed) - len(seen)} of {len(committed)} changes did not arrive")
    for socket in open_sockets:
        socket.close()
    # The first tenth warms caches and plans.
    numbers = sorted(committed)[len(committed) // 10 :]
    return [max(0.0, (seen[number] - committed[number]) * 1000) for number in numbers]


async def _queries_while_idle(place: Place) -> float:
    connection = await asyncpg.connect(place.dsns.admin_dsn)
    try:
        count = (
            "select sum(calls) from pg_stat_statements"
            if await connection.fetchval("select to_regclass('pg_stat_statements') is not null")
            else "select sum(xact_commit + xact_rollback) from pg_stat_database where datname = current_database()"
        )
        await asyncio.sleep(2)
        before, began = await connection.fetchval(count), time.monotonic()
        await asyncio.sleep(10)
        after = await connection.fetchval(count)
        # Ours are two of them.
        return max(0.0, float(after - before - 1) / (time.monotonic() - began))
    finally:
        await connection.close()


def _part(latencies: list[float], percent: int) -> float:
    return statistics.quantiles(latencies, n=100, method="inclusive")[percent - 1]


def _tell(result: Result, latencies: list[float]) -> None:
    parts = (50, 90, 99)
    result.table = [
        ["", *(f"p{part}" for part in parts), "highest"],
        ["ms", *(f"{_part(latencies, part):.2f}" for part in parts), f"{max(latencies):.2f}"],
    ]
    result.raw = {"latencies_ms": latencies}


async def _write(dsn: str, rows: int, per_second: int, seconds: int) -> dict[int, float]:
    """The writer: four connections take turns, so that the rate is kept."""
    connections = [await asyncpg.connect(dsn) for _ in range(4)]
    committed: dict[int, float] = {}
    numbers = iter(range(1, per_second * seconds + 1))
    begun = time.monotonic()
    sql = "update workflow_execution set progress = $1 where id = md5($2::text)::uuid"

    async def work(connection: asyncpg.Connection) -> None:
        for number in numbers:
            due = begun + number / per_second
            if (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            await connection.execute(sql, number, str(number % rows))
            committed[number] = time.monotonic()

    await asyncio.gather(*map(work, connections))
    return committed


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[2:]]
    print(json.dumps(asyncio.run(_write(sys.argv[1], *arguments))))
