"""One subscriber as a transport sees it: ask for what is next, send it, ask again.

    async with feed.subscribe(...) as subscription:
        while items := await subscription.next(timeout=20): ...

Guarantees: messages come in the order in which they are to be sent; what was missed comes before what is live, never
interleaved; the client is told in so many words when it cannot be complete. One task calls `next`, any other may call
`request`, `push` and `close`, which do not wait. Knows no transport and no user: only owners.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from .backoff import Backoff
from .buffer import MAX_CONTROL, newest
from .cursor import Cursor
from .errors import CursorError
from .event import Owner
from .hub import Hub
from .message import rfc3339
from .messages import Conflated, ConflatedData, Mode, Outcome, ResyncReason
from .relay import LOST, Relay
from .replay import OvertakenError, RefetchError, Replays
from .session import Item, Session, State
from .topics import ADMIN

logger = logging.getLogger("changefeed.subscription")

CATCH_UP_SECONDS = 5.0
"""For which a cursor that is ahead of this process is waited for."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a client asks for. None: as it was."""

    answer: str
    """The type of the message that answers: `ready` or `subscribed`."""
    topics: frozenset[str] | None = None
    since: str | None = None
    mode: Mode | None = None
    min_interval: float | None = None


Greeting = Callable[[str, Outcome, Session], str]
"""Makes the answer's text, without a cursor, from its type, the outcome and the session as it is then."""


class Subscription:
    """See above. A context manager: leaving it forgets the session."""

    __slots__ = (
        "_delays", "_greeting", "_held_until", "_hub", "_outcomes", "_reading", "_relay", "_replays", "_requests", "_waiter",
        "session",
    )  # fmt: skip

    def __init__(
        self,
        hub: Hub,
        relay: Relay,
        replays: Replays,
        session: Callable[[Callable[[], None]], Session],
        first: Change,
        greeting: Greeting,
        outcomes: dict[str, int],
    ) -> None:
        """`session` makes the session, given what wakes us. `outcomes` counts what came of asking to resume."""
        self._hub = hub
        self._relay = relay
        self._replays = replays
        self._requests: list[Change | Item] = [first]
        self._greeting = greeting
        self._reading: AsyncGenerator[list[Item], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._outcomes = outcomes
        self._delays: Backoff | None = None
        self._held_until = 0.0
        self.session = session(self._wake)

    async def __aenter__(self) -> Self:
        self._hub.add(self.session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.remove(self.session)
        self.session.close()

    def request(self, change: Change) -> None:
        """Ask for something else; `next` brings the answer, in order."""
        self._ask(change)

    def become(self, owners: frozenset[Owner], admin: bool) -> None:
        """Be somebody with other rights from now on. What waits for others than these owners does not come any more."""
        session = self.session
        same = owners == session.owners
        self._hub.remove(session)
        session.owners = owners
        session.admin = admin
        if session.topics is not None and not admin:
            session.topics -= frozenset(ADMIN)
        self._hub.add(session)
        if not same:
            session.reread()

    def push(self, kind: str, text: str) -> None:
        """A control message of the transport's own, in its place: behind the answers to what was asked for before."""
        if self._requests:
            self._ask(Item(kind, text))
        else:
            self.session.push(kind, text)

    def hold(self, seconds: float) -> None:
        """Nothing is given for so long, save that it is over; then all that has come meanwhile."""
        self._held_until = asyncio.get_running_loop().time() + seconds

    def close(self) -> None:
        """From now on `next` returns None."""
        self.session.close()

    def place(self) -> Cursor:
        """The newest place that the client may store, when everything that `next` gave was sent."""
        return self._hub.place(self.session)

    async def next(self, timeout: float) -> list[Item] | None:
        """What is to be sent now; empty after `timeout` seconds without anything; None when it is over.

        Raises asyncpg.PostgresError, OSError or TimeoutError where the place that a client asked for could not be read.
        Called again, also after it was cancelled, it begins that anew.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        session = self.session
        while session.state is not State.CLOSED:
            if (now := loop.time()) < min(self._held_until, deadline):
                await self._pause(min(self._held_until, deadline) - now)
                continue
            if self._requests:
                # What was said before the request is answered before it; events that wait may be dropped by it.
                if answers := session.take_answers():
                    return answers
                first = self._requests[0]
                items = [first] if isinstance(first, Item) else await self._apply(first)
                del self._requests[0]
                return items
            if self._reading is not None or session.state is State.LAGGING:
                # Whoever asks is answered between two pages, and while the log cannot be read.
                if items := session.take_answers() or await self._read_on(deadline):
                    return items
                if session.state is State.LAGGING and loop.time() >= deadline:
                    return []
                continue
            pause = deadline - loop.time()
            if session.waiting:
                hold = session.hold(loop.time())
                if not hold:
                    return self._with_count(session.take(loop.time()))
                pause = min(pause, hold)
            if pause <= 0:
                return []
            await self._pause(pause)
        return None

    def _conflated(self, items: list[Item]) -> list[Item]:
        """What was read from the log, as the mode wants it."""
        kept = newest(items) if self.session.mode == "state" else items
        self.session.conflated += len(items) - len(kept)
        return kept

    def _with_count(self, items: list[Item]) -> list[Item]:
        """With a word before them about how many were replaced."""
        if self.session.conflated:
            data = ConflatedData(count=self.session.conflated)
            self._hub.conflated += self.session.conflated
            self.session.conflated = 0
            text = Conflated(type="conflated", timestamp=rfc3339(datetime.now(UTC)), data=data).text()
            items.insert(0, Item("conflated", text))
        return items

    def _ask(self, request: Change | Item) -> None:
        # Only a client that asks and never reads reaches it.
        if len(self._requests) >= MAX_CONTROL:
            self.close()
            return
        self._requests.append(request)
        self._wake()

    async def _apply(self, change: Change) -> list[Item]:
        session = self.session
        if change.topics is not None:
            # Whoever asked may have lost the role meanwhile.
            topics = change.topics if session.admin else change.topics - frozenset(ADMIN)
            if topics != session.topics:
                session.topics = topics
                session.reread()
        if change.mode is not None:
            session.mode = change.mode
        if change.min_interval is not None:
            session.min_interval = change.min_interval
        if change.since is None:
            return [self._answer(change, "fresh", self.place())]
        try:
            since = await self._placed(change.since)
            session.lag(since)
            self._reading = None
            items = self._conflated(await self._replays.whole(session))
        except RefetchError as error:
            return self._start_anew(change, error.reason)
        except OvertakenError:
            return self._start_anew(change)
        outcome: Outcome = "replayed" if items else "fresh"
        self._count(outcome)
        return [self._answer(change, outcome, since if items else session.position), *self._with_count(items)]

    def _start_anew(self, change: Change, reason: ResyncReason | None = None) -> list[Item]:
        if reason is not None:
            # Otherwise a restart has said so already: it comes right behind the answer.
            self._refetch(reason)
        self._count("resync")
        return [self._answer(change, "resync", self.place())]

    def _refetch(self, reason: ResyncReason) -> None:
        assert self._hub.cursor is not None
        self.session.restart(self._hub.cursor)
        self._hub.resync(self.session, reason)

    def _answer(self, change: Change, outcome: Outcome, cursor: Cursor) -> Item:
        return Item(change.answer, self._greeting(change.answer, outcome, self.session), cursor=cursor)

    def _count(self, outcome: str) -> None:
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    async def _placed(self, text: str) -> Cursor:
        """The cursor that a client sent, if it is one of this epoch and not from the future. Raises RefetchError."""
        hub = self._hub
        assert hub.cursor is not None
        try:
            cursor = Cursor.parse(text)
        except CursorError:
            raise RefetchError("epoch") from None
        if cursor.epoch == hub.cursor.epoch:
            # Another process, or a REST answer, may be ahead of us; and what was committed before the client came back
            # is to count as missed. One look serves all who wait for it.
            await self._relay.look_anew(CATCH_UP_SECONDS)
        if cursor.epoch != hub.cursor.epoch or not hub.cursor.snapshot.covers(cursor.snapshot):
            raise RefetchError("epoch")
        return cursor

    async def _read_on(self, deadline: float) -> list[Item]:
        """The next page for a session that lags. After a lost connection it goes on from where it was, later."""
        session = self.session
        self._reading = self._reading or self._replays.items(session)
        try:
            items = self._with_count(self._conflated(await anext(self._reading)))
        except (StopAsyncIteration, OvertakenError):
            items = []
            self._reading = self._delays = None
        except RefetchError as error:
            self._reading = None
            # It was here all the time, and slower than the log is emptied.
            self._refetch("lagging" if error.reason == "retention" else error.reason)
            items = []
        except LOST as error:
            logger.warning("a session could not read on from the log: %s: %s", type(error).__name__, error)
            self._reading = None
            session.lag(session.position)
            self._delays = self._delays or Backoff(first=0.2, largest=5.0)
            await self._pause(min(self._delays.next(), deadline - asyncio.get_running_loop().time()))
            items = []
        except BaseException:
            # Cancelled in the middle of a page: nobody else would take the session out of its replay.
            self._reading = None
            session.lag(session.position)
            raise
        return items

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(seconds, _expire, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None:
            _expire(self._waiter)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
