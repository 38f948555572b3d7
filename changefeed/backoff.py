"""Delays between attempts: exponential, with full jitter, so that many who failed together do not come back together.

Pure: the random number is passed in. After "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable
from random import random


class Backoff:
    """Seconds to wait before the next attempt.

    >>> delays = Backoff(first=1, largest=8, chance=lambda: 1.0)
    >>> [delays.next() for _ in range(5)]
    [1.0, 2.0, 4.0, 8.0, 8.0]
    >>> delays.reset()
    >>> delays.next()
    1.0
    """

    def __init__(self, first: float, largest: float, chance: Callable[[], float] = random) -> None:
        self._first = first
        self._largest = largest
        self._chance = chance
        self._attempts = 0

    def next(self) -> float:
        """The next delay, in seconds: between 0 and the bound, which doubles up to `largest`."""
        bound = min(self._largest, self._first * 2.0**self._attempts)
        self._attempts = min(self._attempts + 1, 62)
        return bound * self._chance()

    def reset(self) -> None:
        """An attempt succeeded."""
        self._attempts = 0
