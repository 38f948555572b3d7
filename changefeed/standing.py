"""A standing task: one that is to go on for as long as the process does.

Guarantees: a failure that its work did not foresee is told with its traceback, and the work begins anew, after a pause that
grows while it goes on failing. A task that ended instead would be missed by nobody until what it did is needed: a user who
was kicked would stay. Only cancelling ends it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .backoff import Backoff

logger = logging.getLogger("changefeed.standing")

STEADY_SECONDS = 60.0
"""After so long without a failure the next one counts as the first."""


async def standing(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """`work`, over and over, until cancelled. `name`: what the log calls it."""
    delays = Backoff(first=0.5, largest=30.0)
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            await work()
        except Exception:
            logger.exception("%s failed, and begins again", name)
        if loop.time() - begun > STEADY_SECONDS:
            delays.reset()
        await asyncio.sleep(delays.next())
