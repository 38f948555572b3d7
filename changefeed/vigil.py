"""The relay's vigil: when to look at the log, when to fall asleep, when to wake. Interrupts while idle, polling while busy.

While the relay holds the lock "asleep", every writer rings (NOTIFY); while it does not, no writer does, and the relay
looks by itself. This is the pure half: what happened goes in, what to do next comes out. The order of the steps is what
makes it lose no wake-up, see `docs/design/doorbell.md`:

- asleep, the bell is cleared *before* each look, so that a ring during the look is heard after it;
- having taken the lock, the relay looks once more before it waits: whoever believed it awake has ended by then (the lock
  was refused until then), and is visible to that look; everybody later rings;
- a ring while asleep is answered with the lock still held: writers go on ringing, which costs little while they are few.
  Only when changes come closer together than `BUSY` is the lock given back.
"""

from enum import Enum

BUSY = 0.05
"""Seconds between two changes below which the relay stays awake."""
LONGEST_REFUSED = 0.05
"""Seconds between two looks while a writer that believes us awake keeps us so."""


class Step(Enum):
    """What the relay does next."""

    LOOK = "look"
    """Clear the bell, then read the log."""
    TRY_SLEEP = "try to sleep"
    """Try to take the lock, without waiting."""
    WAKE = "wake"
    """Give the lock back."""
    WAIT = "wait"
    """Until the bell rings, at most `delay` seconds; then look."""


class Vigil:
    """The vigil of a leader with a doorbell, or, with `doorbell=False`, of one that only polls."""

    def __init__(self, *, doorbell: bool, poll_interval: float, safety_interval: float) -> None:
        """Durations in seconds."""
        self._doorbell = doorbell
        self._poll_interval = poll_interval
        self._safety_interval = safety_interval
        self._quiet = 0
        self._last_found = float("-inf")
        self._dozing = False
        self.asleep = False
        """Whether the lock is held."""
        self.delay = 0.0
        """Seconds to wait, where the step is WAIT."""

    def looked(self, found: int, now: float) -> Step:
        """The log was read, and had so many events."""
        busy = now - self._last_found < BUSY
        if found:
            self._last_found = now
            self._quiet = 0
        if self.asleep:
            if not found:
                self._dozing = False
                return self._wait(self._safety_interval)
            if self._dozing or busy:
                return Step.WAKE
            self._dozing = True
            return Step.LOOK
        if found:
            return self._wait(self._poll_interval)
        if self._doorbell:
            return Step.TRY_SLEEP
        return self._back_off()

    def tried(self, granted: bool) -> Step:
        """The lock was asked for."""
        if not granted:
            return self._back_off()
        self.asleep = True
        self._dozing = True
        return Step.LOOK

    def woken(self) -> Step:
        """The lock was given back."""
        self.asleep = False
        self._dozing = False
        return Step.LOOK

    def _back_off(self) -> Step:
        self._quiet = min(self._quiet + 1, 10)
        return self._wait(max(self._poll_interval, min(LONGEST_REFUSED, self._poll_interval * 2.0**self._quiet)))

    def _wait(self, delay: float) -> Step:
        self.delay = delay
        return Step.WAIT
