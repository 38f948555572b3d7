"""What this process answers when an operator asks what became of an owner's changes: which sessions it has, and where they are.

The question is a row, and every look at the log says whether there is a new one (see `changefeed.inquire`), so that being
asked costs nothing while nobody asks. Guarantees: each question is answered once; an answer is put together in one go, so
that its places belong together. Says nothing that the operator could not read in the database, and no token.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from .event import Owner
from .hub import Hub
from .pulse import Pulse
from .relay import LOST
from .session import Session
from .sql import query

logger = logging.getLogger("changefeed.witness")

ANSWER_SECONDS = 5.0
RETRY_SECONDS = 1.0

Testimony = list[dict[str, Any]]


class Witness:
    """One process's."""

    def __init__(self, hub: Hub, pulse: Pulse) -> None:
        self._hub = hub
        self._pulse = pulse
        self.sessions: Callable[[Owner], Testimony] = self._present
        """Tells of an owner's sessions. A service, which knows more of them, puts its own here."""

    async def run(self, pool: Any) -> None:
        """Answer until cancelled. `pool`: of asyncpg's, on the log's database."""
        pulse = self._pulse
        heeded = -1
        while True:
            await pulse.until(lambda: pulse.inquiries != heeded and pulse.backend is not None)  # noqa: B023 awaited here
            now, backend = pulse.inquiries, pulse.backend
            try:
                for asked in await pool.fetch(query("inquiries"), backend, timeout=ANSWER_SECONDS):
                    answer = json.dumps(self.answer(Owner(asked["owner_kind"], asked["owner"])))
                    await pool.execute(query("testify"), asked["id"], backend, answer, timeout=ANSWER_SECONDS)
            except LOST as error:
                logger.warning("an operator's question could not be answered: %s: %s", type(error).__name__, error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            heeded = now

    def answer(self, owner: Owner) -> dict[str, Any]:
        """Everything that is asked for."""
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "leading": self._pulse.leading,
            "place": None if self._hub.cursor is None else str(self._hub.cursor),
            "sessions": self.sessions(owner),
        }

    def _present(self, owner: Owner) -> Testimony:
        return [described(session) for session in self._hub.sessions if owner in session.owners]


def described(session: Session) -> dict[str, Any]:
    """What any process can say of a session."""
    return {
        "state": session.state.value,
        "mode": session.mode,
        "min_interval": session.min_interval,
        "topics": None if session.topics is None else sorted(session.topics),
        "place": str(session.position),
        "waiting": session.waiting,
    }
