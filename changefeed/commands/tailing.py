"""`changefeed tail`: live typed events, straight from the log, without API or token.

It follows whoever leads and never leads itself, so that watching changes nothing; where nobody leads it still sees
everything, a safety poll later.
"""

import json
import logging
from collections.abc import Callable
from typing import Any

from ..event import Event, Owner
from ..feed import Feed
from ..settings import Settings

Show = Callable[[dict[str, Any], str], None]


async def live_events(
    settings: Settings, owner: str | None, table: str | None, show: Show, ready: Callable[[], None]
) -> None:
    """Calls `show` with each message and its text, until cancelled. `owner`: a value, or kind:value; None: everybody.

    Raises ConfigurationError, and NotInstalledError or what the driver raises where the first connection fails.
    """
    wanted = None if owner is None else _owner(owner)
    # Where the first connection fails, that is raised, and need not be said by the relay's log as well.
    silence, log = logging.NullHandler(), logging.getLogger("changefeed")
    log.addHandler(silence)
    async with Feed(settings.model_copy(update={"relay": False})) as feed:
        pulse = feed.pulse
        await pulse.until(lambda: pulse.connected or pulse.failure is not None)
        if pulse.failure is not None and not pulse.connected:
            raise pulse.failure
        log.removeHandler(silence)
        ready()
        async for event in feed.events():
            if _matches(event, wanted, table):
                topic = feed.mapping.topics_of(event.source)[0]
                assert feed.hub.cursor is not None
                text = feed.mapping.message(event, topic, feed.hub.cursor.epoch).text()
                show(json.loads(text), text)


def _matches(event: Event, owner: Owner | None, table: str | None) -> bool:
    if event.op == "error" or (table is not None and table not in (event.source, event.source.partition(".")[2])):
        return False
    return owner is None or event.owner == owner or (event.owner is None and event.op in ("bulk", "truncate"))


def _owner(text: str) -> Owner:
    kind, separator, value = text.partition(":")
    return Owner(kind, value) if separator else Owner("user", text)
