"""How many connections each user has: here, and in all processes together.

Guarantees: the cap holds in this process at any moment, and over all processes within about a second: each tells the
others of the users whose number has changed, in one statement for all of them, at most once a second, and is told the
others' numbers by the same statement. These statements take turns, so of two processes that let somebody in at the
same moment the second one sees the first, and sends its newest away. No query for a connection. While the database
cannot be reached, each process knows its own connections only.

A process is known by the database session of its listener: when that ends, what it has told counts no more.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable

from changefeed.doorbell import Doorbell
from changefeed.feed import Feed
from changefeed.relay import LOST
from changefeed.sql import query

logger = logging.getLogger("changefeed.presence")

INTERVAL = 1.0
"""Seconds between two statements, at least."""
ANSWER_SECONDS = 10.0


class Presence:
    """See above."""

    def __init__(self, cap: int) -> None:
        """`cap`: connections of one user, over all processes."""
        self._cap = cap
        self._here: Counter[str] = Counter()
        self._elsewhere: dict[str, int] = {}
        """As far as we were told; only of users of whom that matters."""
        self._stirred: set[str] = set()
        """Users whose number has changed, or is too large, since the others were told."""
        self._bell = Doorbell()
        self.exchanges = 0
        """Statements since the start."""

    def enter(self, user: str) -> bool:
        """One more. Returns False, and counts nothing, where that would be too many as far as is known."""
        admitted = self._here[user] + self._elsewhere.get(user, 0) < self._cap
        if admitted:
            self._here[user] += 1
        # Also of a refusal: what we know of the others may be old, and must not turn him away for ever.
        self._stir(user)
        return admitted

    def leave(self, user: str) -> None:
        """One less."""
        self._here[user] -= 1
        if not self._here[user]:
            del self._here[user]
        self._stir(user)

    async def share(self, feed: Feed, send_away: Callable[[str, int], None]) -> None:
        """Tell and be told, until cancelled. `send_away` is called with a user who has too many, and how many may stay here."""
        known: int | None = None
        problem = ""
        while True:
            await self._bell.wait(INTERVAL)
            self._bell.clear()
            backend = feed.pulse.backend
            anew = backend != known
            if backend is None or not (anew or self._stirred):
                continue
            try:
                await self._exchange(feed, backend, anew, send_away)
                known, problem = backend, ""
            except LOST as error:
                # Said once, not with each attempt.
                if problem != str(error):
                    logger.warning("the processes could not tell each other who is here: %s", error)
                problem, known = str(error), None
            await asyncio.sleep(INTERVAL)

    async def _exchange(self, feed: Feed, backend: int, anew: bool, send_away: Callable[[str, int], None]) -> None:
        # Whoever comes or goes from now on is told of the next time.
        users = {_digest(user): user for user in (self._stirred | self._here.keys() if anew else self._stirred)}
        counts = [self._here[user] for user in users.values()]
        self._stirred = set()
        try:
            rows = await feed.pool.fetch(
                query("attend"), backend, list(users), counts, self._cap, anew, timeout=ANSWER_SECONDS
            )
        except BaseException:
            self._stirred |= set(users.values())
            raise
        self.exchanges += 1
        elsewhere = {users[row["who"]]: row["elsewhere"] for row in rows}
        for user in users.values():
            others = elsewhere.get(user, 0)
            # To keep what is known of somebody who is not here is only worth it where he would be refused.
            if others and (user in self._here or others >= self._cap):
                self._elsewhere[user] = others
            else:
                self._elsewhere.pop(user, None)
            if self._here[user] and self._here[user] + others > self._cap:
                send_away(user, max(0, self._cap - others))
                self._stir(user)

    def _stir(self, user: str) -> None:
        self._stirred.add(user)
        self._bell.ring()


def _digest(user: str) -> bytes:
    """What stands for a user: an id may be longer than an index allows, and nobody need read there who is online."""
    return hashlib.sha256(user.encode()).digest()[:16]
