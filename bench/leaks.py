"""Clients come and go for minutes, on all transports and in every way, while their rows change: does anything stay behind?

Each visit is made by a user who was never there before, so that what is kept for each connection and what is kept for each
user both show. Beside the short visits of the test suite there are those that end with a deadline: of who does not say its
name, and of who stops reading while the log is replayed to it. The process is looked at before anybody came (but for a
warming up: pools and caches are made once), and then between two storms, when everybody has left: a replay to somebody who
does not read takes MiB that come and go.

Growth: the least memory of the last quarter's looks, less that of the second quarter's, for the connections between.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg

from tests.support.footprint import Footprint, calm
from tests.support.scrape import scraped
from tests.support.service import ServiceProcess
from tests.support.stuck import StuckPeer
from tests.support.subscribers import SUBSCRIBERS, connected
from tests.support.visits import READY, VISITS, Visit, mute_socket, storm

from .place import SECRET, Place, furnish, postgres
from .result import Result

AT_ONCE = 40
WARMING = 100
"""Visits for each minute of the run, before the first look."""
LOOKS = 20
"""So many in a run, each after a storm."""
OWNERS_PER_MINUTE = 20_000
"""More than can come, so that nobody comes twice."""
CHANGES_PER_SECOND = 100
SEND_SECONDS = 1.0
HEAVY = 300
HEAVY_BYTES = 20_000
"""What is replayed to whoever stops reading: more than the buffers of two kernels hold."""
MOST_GROWTH = 0.5
"""MiB for 10,000 connections: 52 bytes each. A session takes a hundred times that."""
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc gives back what was freed: otherwise the largest replay so far is what its memory looks like ever after."""
SETTINGS: dict[str, Any] = {
    "auth_timeout": 3,
    "send_timeout": SEND_SECONDS,
    "max_messages_per_minute": 60,
    # Connections to the database come and go as they are needed: with one in each pool, their number says something.
    "pool_size": 1,
    "host_pool_size": 1,
    # Full before long: what is kept for those who come back is no leak.
    "window_events": 500,
}


@dataclass(slots=True)
class Look:
    """The process at one moment."""

    minute: float
    connections: int
    """That have ended so far, as the service counts them: those that left before it knew of them are not among them."""
    held: Footprint


@dataclass(slots=True)
class Run:
    """Everybody who has come so far, and what was seen."""

    place: Place
    process: ServiceProcess
    heavy: str = ""
    """The place in the log before what is replayed to those who stop reading."""
    visits: int = 0
    cut_off: int = 0
    looks: list[Look] = field(default_factory=list)
    begun: float = 0.0

    def coming(self, kinds: tuple[Visit, ...]) -> Iterator[tuple[Visit, str]]:
        """One after the other, each by somebody new."""
        for kind in itertools.cycle(kinds):
            self.visits += 1
            yield kind, self.place.token(self.visitor(self.visits))

    def visitor(self, visit: int) -> int:
        """Whose visit it is. Never owner 0's, whose rows are the heavy ones."""
        return 1 + max(visit, 0) % (self.place.owners - 1)

    async def stuck(self, url: str, _: str) -> None:
        """A reader that stops, until it is cut off; over WebSocket and SSE in turn."""
        transport = ("websocket", "sse")[self.cut_off % 2]
        self.cut_off += 1
        path = f"{SUBSCRIBERS[transport].path}?since={self.heavy}"
        async with StuckPeer(url, path, self.place.token(0), websocket=transport == "websocket") as peer:
            await peer.read_until(READY)
            await asyncio.sleep(2 * SEND_SECONDS)
            # Comes to an end only where the service has put one.
            await peer.cut_off()

    async def look(self, held: Footprint) -> None:
        """One look more."""
        scrape = await scraped(self.process.url)
        ended = int(sum(scrape.by("connections_closed_total", "code").values()))
        minute = (time.monotonic() - self.begun) / 60 if self.begun else 0.0
        self.looks.append(Look(minute, ended, held))


async def measure(minutes: float) -> list[Result]:
    """For so long."""
    with postgres() as server:
        people = int(OWNERS_PER_MINUTE * minutes)
        place = await furnish(server, "leaks", people, people)
        process = ServiceProcess(place.dsns.feed_dsn, variables=ALLOCATOR, jwt_secret=SECRET, **SETTINGS)
        try:
            run = Run(place, await process.ready())
            async with _beside(_write(run)):
                await _visited(run, minutes)
            tracebacks = process.log.count("Traceback")
        finally:
            process.kill()
    return [_result(minutes, run, tracebacks)]


async def _visited(run: Run, minutes: float) -> None:
    url = run.process.url
    await _burden(run)
    # The two that take seconds are rare, or there would be time for little else.
    kinds = (*3 * VISITS, mute_socket, run.stuck)
    await storm(url, itertools.islice(run.coming(kinds), int(WARMING * minutes)), AT_ONCE)
    before = await calm(run.process)
    await run.look(before)
    run.begun = time.monotonic()
    for number in range(1, LOOKS + 1):
        end = run.begun + number * minutes * 60 / LOOKS
        coming = itertools.takewhile(lambda _, end=end: time.monotonic() < end, run.coming(kinds))  # type: ignore[misc]
        await storm(url, coming, AT_ONCE)
        await run.look(await calm(run.process, before))


async def _burden(run: Run) -> None:
    """Much that owner 0 has missed."""
    async with connected("websocket", run.process.url, run.place.token(0)) as client:
        run.heavy = (await client.until("ready"))["cursor"]
    connection = await asyncpg.connect(run.place.dsns.app_dsn)
    try:
        await connection.execute(
            f"""
            do $$ begin
              for n in 1 .. {HEAVY} loop
                update workflow_execution set error_message = repeat(chr(97 + n % 2), {HEAVY_BYTES}) where id = md5('0')::uuid;
              end loop;
            end $$
            """
        )
    finally:
        await connection.close()


async def _write(run: Run) -> None:
    """Changes of the rows of those who came last, all the time."""
    connection = await asyncpg.connect(run.place.dsns.app_dsn)
    update = "update workflow_execution set progress = $1 where id = md5($2::text)::uuid"
    try:
        for number in itertools.count():
            await connection.execute(update, number, str(run.visitor(run.visits - number % AT_ONCE)))
            await asyncio.sleep(1 / CHANGES_PER_SECOND)
    finally:
        await connection.close()


@asynccontextmanager
async def _beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """For as long as the block lasts; where one of them fails, the block does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        yield
        for task in tasks:
            task.cancel()


def _result(minutes: float, run: Run, tracebacks: int) -> Result:
    before, *during = run.looks
    after = during[-1]
    connections = after.connections - before.connections
    result = Result(
        f"{minutes:g} minutes of connect and disconnect",
        f"{connections:,} connections on three transports, {AT_ONCE} at a time, each of another user: left, broken, reset,"
        f" refused, put out, cut off; {CHANGES_PER_SECOND} changes/s of their rows. Growth: the least of the last quarter"
        " against that of the second.",
    )
    result.compare("growth, MiB for 10,000 connections", _growth(during), MOST_GROWTH, at_least=False, unit="")
    lefts: dict[str, int] = {
        "sessions left": after.held.sessions + after.held.visitors,
        "tasks more than before": after.held.tasks - before.held.tasks,
        "descriptors more than before": after.held.descriptors - before.held.descriptors,
        "tracebacks": tracebacks,
    }
    for what, number in lefts.items():
        result.compare(what, number, 0, at_least=False, unit="")
    result.table = [["minute", "connections so far", "RSS, MiB", "descriptors", "tasks", "sessions"]]
    every = max(1, len(during) // max(1, round(minutes)))
    shown = [(f"{look.minute:.1f}", look) for look in (before, *during[every - 1 :: every])]
    result.table += [_row(when, look.connections - before.connections, look.held) for when, look in shown]
    result.raw = {"looks": [asdict(look) for look in run.looks], "visits": run.visits, "cut_off": run.cut_off}
    return result


def _row(when: str, connections: int, held: Footprint) -> list[str]:
    figures = (held.descriptors, held.tasks, held.sessions)
    return [when, f"{connections:,}", f"{held.resident / 2**20:.1f}", *map(str, figures)]


def _growth(looks: list[Look]) -> float:
    """MiB for 10,000 connections."""
    quarter = len(looks) // 4
    second, last = looks[quarter : 2 * quarter], looks[-quarter:]
    grown = min(look.held.resident for look in last) - min(look.held.resident for look in second)
    # Between the middles of the two.
    came = statistics.median(look.connections for look in last) - statistics.median(look.connections for look in second)
    return grown / 2**20 / came * 10_000
