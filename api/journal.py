"""The lines that a log has of connections: who came, how it went, who was turned away. One line each, at INFO.

What happened stands in the sentence, for people, and in the record's own members, for programs (CHANGEFEED_LOG_FORMAT=json). No
token is in either. A long poll is one line, at its end: it comes again every half minute.
"""

import logging
import time
from typing import TYPE_CHECKING, Any

from .closing import Ending
from .counts import LEFT

if TYPE_CHECKING:
    from .client import Client

logger = logging.getLogger("changefeed.connections")


def opened(client: "Client") -> None:
    """Somebody was let in, and greeted."""
    if client.transport != "longpoll":
        # Quoted, because a user's id may hold anything, line breaks too.
        logger.info(
            "%s of %r opened: %s", client.transport, client.identity.user_id, client.outcome, extra=_members(client)
        )


def closed(client: "Client") -> None:
    """A connection that was let in is over."""
    ending = client.ending
    seconds = round(time.monotonic() - client.began, 3)
    code, error = (LEFT, None) if ending is None else (ending.code, ending.error)
    logger.info(
        "%s of %r closed after %.3f s: %s",
        client.transport,
        client.identity.user_id,
        seconds,
        LEFT if ending is None else f"{code} {error}",
        extra=_members(client) | {"close_code": code, "error": error, "duration_seconds": seconds},
    )


def refused(transport: str, ending: Ending) -> None:
    """Somebody was not let in."""
    logger.info(
        "%s refused: %s %s",
        transport,
        ending.code,
        ending.error,
        extra={"transport": transport, "close_code": ending.code, "error": ending.error},
    )


def _members(client: "Client") -> dict[str, Any]:
    return {"user": client.identity.user_id, "transport": client.transport, "outcome": client.outcome}
