"""Server-sent events: the same messages, `event:` their type, `id:` the cursor where a message has one.

A browser that reconnects sends the last `id:` as Last-Event-ID, which is all that resuming takes. Errors before the stream
are problem documents; afterwards an `error` event comes before the end.
"""

from changefeed.session import Item

from .client import Client
from .closing import Ending
from .live import LiveResponse, Tell, part
from .pieces import pieces, portions

QUIET_SECONDS = 15.0
"""Without anything to say, a comment is sent, so that proxies keep the connection, with the newest place."""
RETRY_MS = 2000

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(LiveResponse):
    """An endless response."""

    media_type = "text/event-stream"
    transport = "sse"

    async def speak(self, client: Client, tell: Tell) -> None:
        """The stream, up to its end."""
        quiet_seconds = min(QUIET_SECONDS, self._service.settings.heartbeat_interval)
        await tell({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        await _say(tell, f"retry: {RETRY_MS}\n\n")
        while (items := await client.next(quiet_seconds)) is not None:
            for portion in portions(items):
                await _say(tell, "".join(map(block, portion)))
                # Not in the middle of a block: the last words would become a part of it.
                if not client.welcome():
                    break
        # A session is closed without a reason where too many answers wait for it; one whose peer has gone hears nothing.
        ending = client.ending or Ending.of("too-slow")
        # What EventSource waits for before it comes back by itself.
        wait = "" if ending.after_ms is None else f"retry: {ending.after_ms}\n\n"
        last = "".join(block(Item(kind, text)) for kind, text in ending.texts())
        await _say(tell, wait + last)
        await tell({"type": "http.response.body", "body": b""})


async def _say(tell: Tell, text: str) -> None:
    for piece in pieces(text.encode()):
        await tell(part(piece))


def block(item: Item) -> str:
    """One message as a block of the stream. A heartbeat is a comment and a block without data, which browsers keep the id of."""
    place = "" if item.cursor is None else f"id: {item.cursor}\n"
    if item.kind == "heartbeat":
        return f": \n{place}\n"
    return f"event: {item.kind}\n{place}data: {item.whole()}\n\n"
