"""How much one client may send: a bucket that fills up again. Pure: the time is passed in."""


class Allowance:
    """So many messages a minute, all of which may come at once.

    >>> allowance = Allowance(2, now=0.0)
    >>> [allowance.spend(now=0.0) for _ in range(3)]
    [True, True, False]
    >>> allowance.spend(now=30.0)
    True
    """

    __slots__ = ("_at", "_left", "_per_second", "_size")

    def __init__(self, per_minute: int, now: float) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._left = self._size
        self._at = now

    def spend(self, now: float) -> bool:
        """One more message. Returns whether it is allowed."""
        self._left = min(self._size, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
