"""What sockets cost: fan-out and memory, each beside a bare uvicorn that does nothing but WebSockets.

Fan-out: one owner has many sockets; a transaction changes many of his rows, so that every socket gets a message for each.
The bare loop sends as many messages of the same size. Memory: the resident size of the process before and after.
"""

import asyncio
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from demo.postgres import free_port
from tests.support.footprint import resident_bytes

from .place import Place, api, furnish, postgres, process, until_ready
from .result import Result
from .wire import Socket, connect

AT_A_TIME = 100


async def measure(rounds: int, fan: int, changes: int, idle: int) -> list[Result]:
    """Both."""
    with postgres() as server:
        place = await furnish(server, "sockets", 1, changes)
        return [await _fan_out(place, rounds, fan, changes), await _memory(place, idle)]


@asynccontextmanager
async def _bare() -> AsyncIterator[tuple[int, int]]:
    port = free_port("127.0.0.1")
    async with process("-m", "bench.bare", str(port)) as running:
        await until_ready(f"http://127.0.0.1:{port}/readyz")
        yield port, running.pid


async def open_many(port: int, place: Place, count: int, counter: list[int]) -> list[Socket]:
    """Open connections, some at a time. `counter[0]` counts frames, `counter[1]` their bytes."""

    def heard(frame: bytes) -> None:
        counter[0] += 1
        counter[1] += len(frame)

    opened: list[Socket] = []
    for first in range(0, count, AT_A_TIME):
        numbers = range(first, min(count, first + AT_A_TIME))
        opened += await asyncio.gather(*(connect(port, place.token(n % place.owners), heard) for n in numbers))
    return opened


async def _until_counted(counter: list[int], frames: int) -> float:
    """The moment at which so many frames had arrived. Raises RuntimeError where they stop coming."""
    last = (-1, time.monotonic())
    while counter[0] < frames:
        await asyncio.sleep(0.01)
        if counter[0] != last[0]:
            last = (counter[0], time.monotonic())
        elif time.monotonic() - last[1] > 30:
            raise RuntimeError(f"{counter[0]} of {frames} frames arrived")
    return time.monotonic()


async def _fan_out(place: Place, rounds: int, fan: int, changes: int) -> Result:
    ours, bare, size = [], [], 0
    async with api(place, buffer_messages="100000", buffer_bytes=str(1 << 30)) as (port, _), _bare() as (bare_port, _):
        counter, bare_counter = [0, 0], [0, 0]
        sockets = await open_many(port, place, fan, counter)
        bare_sockets = await open_many(bare_port, place, fan, bare_counter)
        connection = await asyncpg.connect(place.dsns.app_dsn)
        await _until_counted(counter, fan)  # the ready messages
        for _ in range(rounds + 1):
            counter[:] = [0, 0]
            # From the commit: what the UPDATE itself takes is the write path's figure, not this one's.
            await connection.execute("update workflow_execution set progress = progress + 1")
            began = time.monotonic()
            ours.append(fan * changes / (await _until_counted(counter, fan * changes) - began))
            size = counter[1] // counter[0]
            bare_counter[:] = [0, 0]
            began = time.monotonic()
            url = f"http://127.0.0.1:{bare_port}/broadcast?messages={changes}&size={size}"
            asking = asyncio.create_task(asyncio.to_thread(_fetch, url))
            bare.append(fan * changes / (await _until_counted(bare_counter, fan * changes) - began))
            await asking
        await connection.close()
        for socket in sockets + bare_sockets:
            socket.close()
    ours, bare = ours[1:], bare[1:]
    result = Result(
        "Fan-out of one process",
        f"{fan} sockets of one owner, {changes} changes in a transaction, {size} bytes each; {rounds} rounds, in turn.",
        raw={"changefeed": ours, "bare": bare},
    )
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    result.compare("against a bare send_text loop", ratio, 0.8, at_least=True)
    result.table = [
        ["", "messages/s, median"],
        ["changefeed", f"{statistics.median(ours):,.0f}"],
        ["bare uvicorn", f"{statistics.median(bare):,.0f}"],
    ]
    return result


def _fetch(url: str) -> None:
    with urllib.request.urlopen(url, timeout=300) as answer:
        answer.read()


async def _memory(place: Place, idle: int) -> Result:
    async def grown(port: int, pid: int) -> float:
        counter = [0, 0]
        warm = await open_many(port, place, 50, counter)
        before = resident_bytes(pid)
        sockets = await open_many(port, place, idle, counter)
        await asyncio.sleep(2)
        after = resident_bytes(pid)
        for socket in warm + sockets:
            socket.close()
        return (after - before) / idle / 1024

    async with api(place) as (port, pid):
        ours = await grown(port, pid)
    async with _bare() as (port, pid):
        bare = await grown(port, pid)
    result = Result(
        "Memory of an idle connection", f"{idle:,} authenticated connections; resident size of the process."
    )
    result.raw = {"changefeed_kib": ours, "bare_kib": bare}
    result.compare("more than a bare uvicorn WebSocket", ours - bare, 8, at_least=False, unit="KiB")
    result.table = [["", "KiB each"], ["changefeed", f"{ours:.1f}"], ["bare uvicorn", f"{bare:.1f}"]]
    return result
