"""What this process has done for its clients, in plain numbers: written where it happens, read by whoever scrapes.

No number is kept for a user. Every key comes from a table of ours (message types, error codes, close codes, transports),
so that no client can make them many. Pure.
"""

from bisect import bisect_left
from collections.abc import Iterable

from changefeed.session import Item

from .closing import Ending

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: the upper bounds of the histogram's buckets, but for the last one, which has none."""
LEFT = "left"
"""How a connection ended that the client, or the answer to a long poll, brought to its end."""


class Latency:
    """How long it took from the capture of a change until it was handed to the transport. Two clocks: see the docs."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        """Not cumulative; one more than BOUNDS."""
        self.total = 0.0
        """The sum, in seconds."""

    def observe(self, seconds: float) -> None:
        """One message. Where our clock is behind the database's, a message seems to come from the future: that is zero."""
        seconds = max(0.0, seconds)
        self.total += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1


class Counts:
    """See above. Everything since the start."""

    __slots__ = ("closed", "errors", "latency", "opened", "sent")

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        """Messages handed to transports, by type."""
        self.errors: dict[str, int] = {}
        """Errors told to clients, in messages, before closes and instead of answers, by code."""
        self.opened: dict[str, int] = {}
        """Connections that were let in, by transport."""
        self.closed: dict[tuple[str, str], int] = {}
        """Connections that ended, or were not let in, by transport and close code."""
        self.latency = Latency()

    def took(self, items: Iterable[Item], now: float, *, timed: bool) -> None:
        """These are being sent. `now`: Unix seconds. `timed`: whether they were sent as soon as that was possible."""
        sent = self.sent
        for item in items:
            sent[item.kind] = sent.get(item.kind, 0) + 1
            if timed and item.at is not None:
                self.latency.observe(now - item.at)

    def told(self, error: str) -> None:
        """A client was told of an error that ends nothing."""
        self.errors[error] = self.errors.get(error, 0) + 1

    def entered(self, transport: str) -> None:
        """A connection was let in."""
        self.opened[transport] = self.opened.get(transport, 0) + 1

    def ended(self, transport: str, ending: Ending | None) -> None:
        """A connection is over, or was refused. None: the client went by itself."""
        key = (transport, LEFT if ending is None else str(ending.code))
        self.closed[key] = self.closed.get(key, 0) + 1
        if ending is not None:
            self.told(ending.error)
