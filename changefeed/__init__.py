"""Postgres changes in the browser of the user who owns the row. The public names are these; nothing else is public.

async with Feed(Settings()) as feed:
    await feed.pulse.until(lambda: feed.pulse.live)
    async with feed.subscribe([Owner("user", "42")]) as subscription:
        while (items := await subscription.next(timeout=20)) is not None:
            for item in items:
                print(item.whole())
"""

from .errors import ChangefeedError
from .event import Owner
from .feed import Feed
from .settings import Settings

__all__ = ["ChangefeedError", "Feed", "Owner", "Settings"]
