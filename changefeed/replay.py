"""Reading on from the log, for one session that is behind.

From memory where the newest window reaches back far enough, otherwise from Postgres, in pages.
Guarantees: what is read is complete, or RefetchError says why not; nothing is sent twice by this, except what an interrupted
reading had sent already. The pool's size is how many sessions may read from Postgres at a time; a page holds a connection
only while it is fetched, never while a slow client takes it. What a session holds meanwhile is bounded in bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import asyncpg

from . import eventlog
from .cursor import Cursor, Snapshot
from .event import Event
from .hub import Hub
from .messages import ResyncReason
from .portion import Portion, parts
from .pulse import Pulse
from .session import Item, Session, State
from .settings import Settings

ANSWER_SECONDS = 30.0
RELEASE_SECONDS = 1.0
"""For which the server may take to confirm that a statement was cancelled."""
AT_ONCE = 200
"""Events from memory whose messages are made before anybody else gets a turn."""


class RefetchError(Exception):
    """It cannot be replayed in full, so the client must refetch everything."""

    def __init__(self, reason: ResyncReason) -> None:
        super().__init__(reason)
        self.reason: ResyncReason = reason


class OvertakenError(Exception):
    """A restart has told the client to refetch, or it wants something else now: the replay is of no use any more."""


class Replays:
    """The log as sessions that are behind read it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], hub: Hub, pulse: Pulse, settings: Settings) -> None:
        self._pool = pool
        self._hub = hub
        self._pulse = pulse
        self._page_rows = settings.page_rows
        self._max_replay = settings.max_replay
        self._max_replay_bytes = settings.max_replay_bytes
        self.from_memory = 0
        self.from_log = 0

    async def whole(self, session: Session) -> list[Item]:
        """All of `items` at once, for a client that is to be told first what becomes of its place.

        Raises what `items` raises, and RefetchError where it is more than is worth replaying. Then nothing of it was sent, and
        the session is where it was. OvertakenError: by a restart.
        """
        items: list[Item] = []
        room = self._max_replay_bytes
        try:
            async with aclosing(self.items(session, self._max_replay)) as pages:
                async for page in pages:
                    items += page
                    room -= sum(item.size for item in page)
                    if len(items) > self._max_replay or room < 0:
                        raise RefetchError("too-much")  # noqa: TRY301
        except OvertakenError:
            if session.state is not State.LAGGING:
                raise
            return await self.whole(session)
        except BaseException:
            session.lag(session.position)
            raise
        return items

    async def items(self, session: Session, most: int | None = None) -> AsyncGenerator[list[Item], None]:
        """Everything that the session has missed since its position, in pages, and then it is live.

        The last message carries the place that is reached. `most`: messages beyond which the caller has no use for it, in case
        that is known before they are made. Raises OvertakenError; RefetchError, asyncpg.PostgresError, OSError, TimeoutError,
        and the session is then still where it was.
        """
        if session.state is State.CLOSED:
            return
        held: list[Item] = []
        end = since = session.begin_replay()
        async with aclosing(self._pages(session, since, most)) as pages:
            async for events, place in pages:
                if not session.reading:
                    raise OvertakenError
                end = place
                items, failed = self._hub.missed(session, events)
                if failed:
                    raise RefetchError("capture-error")
                # One page is held back, because the last message of all is to carry the place.
                if held and items:
                    yield held
                held = items or held
        if not session.reading:
            raise OvertakenError
        session.end_replay(end)
        if held:
            held[-1].cursor = end
            yield held

    async def _pages(
        self, session: Session, since: Cursor, most: int | None
    ) -> AsyncGenerator[tuple[Sequence[Event], Cursor], None]:
        hub = self._hub
        assert hub.cursor is not None
        events = hub.window.after(since, session.owners)
        if events is not None:
            self.from_memory += 1
            end = hub.cursor
            events = list(hub.handovers.converted(events, since.snapshot))
            if most is not None and len(events) > most and self._wanted(session, events) > most:
                raise RefetchError("too-much")
            for part in parts(events, min(self._page_rows, AT_ONCE)):
                yield part, end
                # To make ten thousand messages takes tenths of a second, in which nobody else would be served.
                await asyncio.sleep(0)
            return
        self.from_log += 1
        upto: Snapshot | None = None
        last_seq = -1
        portion = Portion(self._page_rows)
        while True:
            rows = portion.rows
            page = await self._page(session, since, upto, last_seq, rows)
            if page.epoch_id != self._pulse.epoch_id or since.epoch != hub.cursor.epoch:
                raise RefetchError("epoch")
            if page.floor is not None and not since.snapshot.covers(page.floor):
                raise RefetchError("retention")
            upto = page.snapshot
            yield list(hub.handovers.converted(page.events, since.snapshot)), Cursor(since.epoch, upto)
            if len(page.events) < rows:
                return
            last_seq = page.events[-1].seq
            portion.had(page.events, last=False)

    def _wanted(self, session: Session, events: Sequence[Event]) -> int:
        topics_of = self._hub.mapping.topics_of
        return sum(session.topic_among(topics_of(event.source)) is not None for event in events)

    async def _page(
        self, session: Session, since: Cursor, upto: Snapshot | None, last_seq: int, rows: int
    ) -> eventlog.MissedPage:
        connection: Any = await self._pool.acquire(timeout=ANSWER_SECONDS)
        try:
            return await eventlog.missed(
                connection,
                since.snapshot,
                tuple(session.owners),
                upto,
                last_seq,
                rows,
                ANSWER_SECONDS,
            )
        finally:
            # Not by `async with`: that waits for the server to confirm that a statement was cancelled for as long as one
            # waits for a connection, and then forgets that it was we who were cancelled. The connection is closed.
            with suppress(*eventlog.LOST):
                await self._pool.release(connection, timeout=RELEASE_SECONDS)
