"""The wake-up of one task: a bell that remembers one ring.

It means "look", never "what": rings coalesce, and whoever waits looks at everything. To lose no ring, clear the bell
before looking, not after. Used from the event loop's thread alone.
"""

import asyncio
from contextlib import suppress


class Doorbell:
    """Rung any number of times, heard once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._rung = False
        self._asked_at = float("-inf")
        self._asked_again = False

    def ring(self) -> None:
        """Wake whoever waits, or the next who does."""
        self._rung = True
        self._event.set()

    def stir(self) -> None:
        """Wake whoever waits, without a ring: there is something else for him than to look."""
        self._event.set()

    def ask(self, apart: float) -> None:
        """Ring for somebody who waits for a look, at most once in `apart` seconds: for all others who ask meanwhile, then."""
        loop = asyncio.get_running_loop()
        pause = self._asked_at + apart - loop.time()
        if pause <= 0:
            self._ask()
        elif not self._asked_again:
            self._asked_again = True
            loop.call_later(pause, self._ask)

    def clear(self) -> None:
        """Forget the ring. What it was for must be looked at after this, or it is lost."""
        self._rung = False
        self._event.clear()

    @property
    def rung(self) -> bool:
        """Whether somebody rang since the last clear."""
        return self._rung

    async def wait(self, timeout: float) -> bool:
        """Until rung or stirred, at most `timeout` seconds. Returns whether it was rung. Being stirred is forgotten with it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        if not self._rung:
            self._event.clear()
        return self._rung

    def _ask(self) -> None:
        self._asked_at = asyncio.get_running_loop().time()
        self._asked_again = False
        self.ring()
