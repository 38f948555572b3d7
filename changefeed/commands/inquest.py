"""Asking every process that follows the log what it knows of an owner's sessions: see `docs/design/explain.md`.

Guarantees: whoever listens is either heard, or named as one who did not answer within the time. Assumes a connection as the role
that owns the schema; leaves nothing behind that is not swept a minute later.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from ..cursor import Cursor
from ..event import Owner
from ..sql import query

WAIT_SECONDS = 2.5
"""For the answers: a process that sleeps hears the ring at once, one that only polls looks every second."""
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One process's answer."""

    backend: int
    """Its listener's database session."""
    host: str
    pid: int
    leading: bool
    place: Cursor | None
    """Up to where it has read the log."""
    sessions: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Inquest:
    """What all of them said."""

    answers: tuple[Witnessed, ...]
    silent: tuple[int, ...]
    """The database sessions of those that did not answer in time."""


async def held(connection: Any, owner: Owner, seconds: float = WAIT_SECONDS) -> Inquest:
    """Ask, and wait for all answers, or `seconds`. Raises asyncpg.PostgresError."""
    number: int = await connection.fetchval("select changefeed.inquire($1, $2)", owner.kind, owner.value)
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        rows = await connection.fetch(query("testimony"), number)
        silent = tuple(row["backend"] for row in rows if row["answer"] is None)
        if not silent or asyncio.get_running_loop().time() >= deadline:
            answers = tuple(_witnessed(row["backend"], row["answer"]) for row in rows if row["answer"] is not None)
            return Inquest(answers, silent)
        await asyncio.sleep(PAUSE)


def _witnessed(backend: int, text: str) -> Witnessed:
    answer = json.loads(text)
    place = answer["place"]
    return Witnessed(
        backend=backend,
        host=answer["host"],
        pid=answer["pid"],
        leading=answer["leading"],
        place=None if place is None else Cursor.parse(place),
        sessions=tuple(answer["sessions"]),
    )
