"""The stream: a Redis or Valkey stream into which the leader copies each batch, and from which other processes read them.

For more processes than Postgres should serve: a follower then looks at the log about once a second instead of once for
each batch. The truth stays in Postgres. Guarantees: neither side ever waits for Redis; what is not written, trimmed, lost or
late is a gap between two copies, which a reader finds by itself and fills from the log. Each epoch has a stream of its
own, which expires. Assumes that who may write there is trusted as the database is: a forged copy would be believed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from .backoff import Backoff
from .copy import Copy
from .doorbell import Doorbell
from .errors import CopyError

logger = logging.getLogger("changefeed.stream")

KEPT = 1000
"""Copies in the stream, about: whoever is further behind reads the log."""
KEPT_SECONDS = 3600
"""After the last copy, when the epoch's stream may go."""
WAITING = 1000
"""Copies that wait in the process, to be written or to be taken."""
AT_ONCE = 100
BLOCK_MS = 5000
ANSWER_SECONDS = 5.0
"""Within which Redis must answer; a connection that is slower is given up."""
LOST = (RedisError, OSError, TimeoutError)
FIELD = "copy"

_Entry = tuple[str, dict[str, str]]


class Stream:
    """One process's way to it."""

    def __init__(self, url: str) -> None:
        """`url`: `redis://`, `rediss://` (TLS), `unix://`, or the same with `valkey`. Connects to nothing yet."""
        self._url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        self.problem: str | None = None
        """Why nothing goes through it at present."""

    @asynccontextmanager
    async def writing(self, epoch: str) -> AsyncIterator[Callable[[Copy], None]]:
        """For a leader: what it yields takes copies, in their order, and never waits."""
        queue: asyncio.Queue[Copy] = asyncio.Queue(WAITING)

        def put(copy: Copy) -> None:
            # One that finds no room is a gap.
            with suppress(asyncio.QueueFull):
                queue.put_nowait(copy)

        async with self._kept(lambda redis: self._write(redis, _key(epoch), queue), "writer"):
            yield put

    @asynccontextmanager
    async def reading(self, epoch: str, bell: Doorbell) -> AsyncIterator[deque[Copy]]:
        """For a follower: copies as they come in, the oldest first. Stirs `bell` for them, and rings it where a look is due."""
        copies: deque[Copy] = deque(maxlen=WAITING)
        async with self._kept(lambda redis: self._read(redis, _key(epoch), copies, bell), "reader"):
            yield copies

    @asynccontextmanager
    async def _kept(self, work: Callable[[Redis], Any], name: str) -> AsyncIterator[None]:
        task = asyncio.create_task(self._again_and_again(work), name=f"changefeed stream {name}")
        try:
            yield
        finally:
            # Once may not be enough: before Python 3.12 `wait_for`, through which the client sends, can swallow it.
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=0.1)

    async def _again_and_again(self, work: Callable[[Redis], Any]) -> None:
        delays = Backoff(first=0.1, largest=5.0)
        while True:
            redis = Redis.from_url(
                self._url,
                decode_responses=True,
                protocol=2,
                socket_connect_timeout=ANSWER_SECONDS,
                socket_timeout=ANSWER_SECONDS + BLOCK_MS / 1000,
                socket_keepalive=True,
            )
            try:
                await redis.ping()
                if self.problem is not None:
                    logger.info("the stream is reached again")
                self.problem = None
                delays.reset()
                await work(redis)
            except LOST as error:
                said = str(error).strip() or type(error).__name__
                # Said once, not with each attempt.
                if self.problem is None:
                    logger.warning("the stream cannot be reached, the log is read instead: %s", said)
                self.problem = said
            finally:
                with suppress(*LOST):
                    await redis.aclose()
            await asyncio.sleep(delays.next())

    async def _write(self, redis: Redis, key: str, queue: asyncio.Queue[Copy]) -> None:
        while True:
            copies = [await queue.get()]
            while len(copies) < AT_ONCE and not queue.empty():
                copies.append(queue.get_nowait())
            async with redis.pipeline(transaction=False) as pipeline:
                for copy in copies:
                    pipeline.xadd(key, {FIELD: copy.text()}, maxlen=KEPT)
                pipeline.expire(key, KEPT_SECONDS)
                await pipeline.execute()

    async def _read(self, redis: Redis, key: str, copies: deque[Copy], bell: Doorbell) -> None:
        newest = cast("list[_Entry]", await redis.xrevrange(key, count=1))
        place = newest[0][0] if newest else "0-0"
        # What was written before is in the log.
        bell.ring()
        while True:
            answer = await redis.xread({key: place}, count=AT_ONCE, block=BLOCK_MS)
            # The client's types allow for other versions of the protocol.
            for entry, members in cast("list[tuple[str, list[_Entry]]]", answer)[0][1] if answer else ():
                place = entry
                try:
                    copies.append(Copy.parse(members.get(FIELD, "")))
                except CopyError as error:
                    logger.warning("%s", error)
            bell.stir()


def _key(epoch: str) -> str:
    return f"changefeed:{epoch}"
