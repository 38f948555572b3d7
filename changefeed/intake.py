"""What a follower takes from the stream between two looks at the log.

Guarantees: a copy that does not join on, or that is missing, costs a look and nothing else. Whether the leader is to ring
for this process follows from what happens: who finds in the log what the stream had not brought asks for the bell, and who
gets from the stream what joins on does without. So a leader without a stream, a Redis that is gone and one that comes
back need no settings and no second protocol.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from .copy import Copy
from .delivery import Delivery
from .doorbell import Doorbell


class Intake:
    """One follower's, for one connection of its relay."""

    def __init__(self, copies: deque[Copy], bell: Doorbell, delivery: Delivery, clock: Callable[[], float]) -> None:
        self._copies = copies
        self._bell = bell
        self._delivery = delivery
        self._clock = clock
        self._brought = False
        """Whether the stream has brought something since the last look."""
        self.wants_bell = False

    async def take(self, seconds: float) -> None:
        """Deliver what comes in, until the log must be looked at: rung for, a gap, or after so many seconds."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            if await self._bell.wait(left):
                return
            while self._copies:
                if not self._delivery.join(self._copies.popleft()):
                    return
                self._brought = True
                # The sessions' writers must get their turn.
                await asyncio.sleep(0)

    def missed(self, found: int) -> bool:
        """A look has found so many events. Returns whether `wants_bell` has changed."""
        before = self.wants_bell
        if self._brought:
            self.wants_bell = False
        elif found:
            self.wants_bell = True
        self._brought = False
        return self.wants_bell != before
