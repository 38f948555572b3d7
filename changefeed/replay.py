"""Reading on from the log, for one session that is behind.

From memory where the newest window reaches back far enough, otherwise from Postgres, in pages.
Guarantees: what is read is complete, or RefetchError says why not; nothing is sent twice by this, except what an interrupted
reading had sent already. The pool's size is how many sessions may read from Postgres at a time; a page holds a connection
only while it is fetched, never while a slow client takes it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import asyncpg

from . import eventlog
from .cursor import Cursor, Snapshot
from .event import Event
from .hub import Hub
from .messages import ResyncReason
from .pulse import Pulse
from .session import Item, Session, State

ANSWER_SECONDS = 30.0
RELEASE_SECONDS = 1.0
"""For which the server may take to confirm that a statement was cancelled."""


class RefetchError(Exception):
    """It cannot be replayed in full, so the client must refetch everything."""

    def __init__(self, reason: ResyncReason) -> None:
        super().__init__(reason)
        self.reason: ResyncReason = reason


class Replays:
    """The log as sessions that are behind read it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], hub: Hub, pulse: Pulse, page_rows: int) -> None:
        self._pool = pool
        self._hub = hub
        self._pulse = pulse
        self._page_rows = page_rows
        self.from_memory = 0
        self.from_log = 0

    async def items(self, session: Session) -> AsyncGenerator[list[Item], None]:
        """Everything that the session has missed since its position, in pages, and then it is live.

        The last message carries the place that is reached. Ends early where a restart, which tells the client to refetch,
        has overtaken it. Raises RefetchError, asyncpg.PostgresError, OSError,
        TimeoutError; the session is then still where it was.
        """
        if session.state is State.CLOSED:
            return
        held: list[Item] = []
        end = since = session.begin_replay()
        async with aclosing(self._pages(session, since)) as pages:
            async for events, place in pages:
                if not session.reading:
                    return
                end = place
                items, failed = self._hub.missed(session, events)
                if failed:
                    raise RefetchError("capture-error")
                # One page is held back, because the last message of all is to carry the place.
                if held and items:
                    yield held
                held = items or held
        if not session.reading:
            return
        session.end_replay(end)
        if held:
            held[-1].cursor = end
            yield held

    async def _pages(self, session: Session, since: Cursor) -> AsyncGenerator[tuple[Sequence[Event], Cursor], None]:
        hub = self._hub
        assert hub.cursor is not None
        events = hub.window.after(since, session.owners)
        if events is not None:
            self.from_memory += 1
            end = hub.cursor
            events = list(hub.handovers.converted(events, since.snapshot))
            for first in range(0, max(len(events), 1), self._page_rows):
                yield events[first : first + self._page_rows], end
            return
        self.from_log += 1
        upto: Snapshot | None = None
        last_seq = -1
        while True:
            page = await self._page(session, since, upto, last_seq)
            if page.epoch_id != self._pulse.epoch_id or since.epoch != hub.cursor.epoch:
                raise RefetchError("epoch")
            if page.floor is not None and not since.snapshot.covers(page.floor):
                raise RefetchError("retention")
            upto = page.snapshot
            yield list(hub.handovers.converted(page.events, since.snapshot)), Cursor(since.epoch, upto)
            if len(page.events) < self._page_rows:
                return
            last_seq = page.events[-1].seq

    async def _page(self, session: Session, since: Cursor, upto: Snapshot | None, last_seq: int) -> eventlog.MissedPage:
        connection: Any = await self._pool.acquire(timeout=ANSWER_SECONDS)
        try:
            return await eventlog.missed(
                connection,
                since.snapshot,
                tuple(session.owners),
                upto,
                last_seq,
                self._page_rows,
                ANSWER_SECONDS,
            )
        finally:
            # Not by `async with`: that waits for the server to confirm that a statement was cancelled for as long as one
            # waits for a connection, and then forgets that it was we who were cancelled. The connection is closed.
            with suppress(*eventlog.LOST):
                await self._pool.release(connection, timeout=RELEASE_SECONDS)
