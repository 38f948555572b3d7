"""The relay: looks at the log until it is empty, hands what it finds to the hub, then waits for the bell.

Every process runs one. One of all is elected (a session lock): it owns the doorbell and retention, and wakes the others.
Guarantees: the hub gets every committed event, in windows that follow each other, or is told to restart; a lost connection
is made again, and LISTEN comes before the first look, so that nothing falls between. Errors are told (`problem`) and backed
off from, never swallowed, never fatal. Assumes that nobody else writes to the hub's place in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import asyncpg

from . import eventlog
from .backoff import Backoff
from .chores import Chores
from .cursor import Cursor
from .delivery import ANSWER_SECONDS, Delivery
from .doorbell import Doorbell
from .errors import ChangefeedError, EpochEndedError
from .handover import REMEMBERED
from .hub import Hub
from .intake import Intake
from .listener import Listener
from .pulse import Pulse
from .settings import Settings
from .sql import query
from .vigil import Step, Vigil
from .watch import watches

if TYPE_CHECKING:
    from .stream import Stream  # its client is not installed everywhere

logger = logging.getLogger("changefeed.relay")

FOLLOWER_CHECK = 1.0
"""Seconds between a follower's attempts to lead, so that a takeover after a kill stays under two."""
ASKED_APART = 0.05
"""Seconds between two looks for the sake of those who wait for one, so that a storm of them costs no look for each."""
PREPARED_CHECK = 1.0
"""Seconds between two looks at transactions that were prepared before the epoch began."""

LOST = eventlog.LOST
"""What a broken or refused connection looks like."""


class Relay:
    """One process's relay. `run` it in a task of its own."""

    def __init__(
        self, dsn: str, settings: Settings, hub: Hub, clock: Callable[[], float], stream: Stream | None = None
    ) -> None:
        """`clock`: seconds, of a clock that does not go back. `stream`: where batches are copied to, and read from."""
        self._dsn = dsn
        self._settings = settings
        self._hub = hub
        self._clock = clock
        self._stream = stream
        self._bell = Doorbell()
        self._said: str | None = None
        self._watch_changes = -1
        self._recheck = True
        """Whether to read what is watched even if nothing says that it has changed."""
        self._prepared_at = float("-inf")
        self.pulse = Pulse()
        """What the relay is doing, and how much it has done."""
        self._delivery = Delivery(hub, self.pulse, settings, clock)

    @property
    def since_looked(self) -> float:
        """Seconds since the log was read; infinite before the first time."""
        return self._clock() - self.pulse.looked_at

    def look(self) -> None:
        """Look at the log now, whoever has not rung."""
        self._bell.ring()

    async def look_anew(self, timeout: float) -> bool:
        """Waits until a look that began after this call has ended, at most `timeout` seconds. Returns whether it has."""
        pulse = self.pulse
        # One that is under way has begun before, and may have missed what the caller knows of.
        begun = pulse.begun
        self._bell.ask(ASKED_APART)
        return await pulse.until(lambda: pulse.ended > begun, timeout)

    async def recheck(self, timeout: float) -> None:
        """Have the next look also read what is watched: whoever disables a trigger tells nobody. Waits as `look_anew`."""
        self._recheck = True
        await self.look_anew(timeout)

    async def run(self) -> None:
        """Until cancelled."""
        delays = Backoff(first=0.1, largest=5.0)
        while True:
            try:
                async with Listener(self._dsn, self._bell, ANSWER_SECONDS) as listener:
                    chores = await self._begin(listener)
                    delays.reset()
                    await self._lead(listener, chores or await self._follow(listener))
            except eventlog.MISSING as error:
                self._down(eventlog.not_installed(error))
            except (ChangefeedError, *LOST) as error:
                self._down(error)
            except Exception as error:
                logger.exception("the relay failed, and begins again")
                self._down(error)
            except BaseException:
                self.pulse.down("the relay was stopped")
                raise
            await asyncio.sleep(delays.next())

    def _down(self, error: Exception) -> None:
        problem = str(error) if isinstance(error, ChangefeedError) else f"{type(error).__name__}: {error}"
        # Said once, not with each attempt.
        if self.pulse.connected or problem != self._said:
            logger.warning("the relay is not connected to Postgres: %s", problem)
            self._said = problem
        self.pulse.down(problem, error)

    async def _begin(self, listener: Listener) -> Chores | None:
        """Find our place: where we were, if the log is still that one. Returns the leader's chores, if we lead."""
        chores = await self._try_to_lead(listener)
        if chores is None and self._stream is None:
            await listener.follow()
        cursor, begun = await self._present(listener)
        hub = self._hub
        if hub.cursor is None or hub.cursor.epoch != cursor.epoch:
            handovers = await eventlog.handovers(listener.connection, REMEMBERED)
            if hub.cursor is None:
                hub.begin(cursor)
            else:
                self._delivery.restart(cursor, "epoch")
            for event in handovers:
                hub.handovers.note(event, cursor.snapshot, begun)
        self._recheck = True
        await self._look(listener)
        await self._delivery.seed(listener.connection)
        self.pulse.up(leading=chores is not None, backend=listener.connection.get_server_pid())
        return chores

    async def _try_to_lead(self, listener: Listener) -> Chores | None:
        """Returns the leader's chores, if this one leads from now on."""
        if not self._settings.relay:
            return None
        chores = Chores(listener, self._settings, self._clock)
        if not await chores.take_over():
            return None
        # Before the place is looked for: it may have to begin an epoch.
        await self._do(chores.settle)
        return chores

    async def _do(self, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            await chore()
        except asyncpg.PostgresError as error:
            # To deliver late would be worse than to empty a leaf late. A lost connection is noticed by the next look.
            logger.warning("the leader's chores failed, and are tried again: %s: %s", type(error).__name__, error)

    async def _present(self, listener: Listener) -> tuple[Cursor, int]:
        """The log's epoch with what can be seen now, and the next transaction id. Begins an epoch where there is none."""
        while True:
            await listener.value("select changefeed.begin_epoch()")
            row = await listener.connection.fetchrow(query("epoch"), timeout=ANSWER_SECONDS)
            page = await eventlog.poll(listener.connection, None, 0, ANSWER_SECONDS)
            if row is not None and row["id"] is not None and row["id"] == page.epoch_id:
                self.pulse.epoch_id = page.epoch_id
                return Cursor(row["name"], page.snapshot), page.begun

    async def _lead(self, listener: Listener, chores: Chores) -> None:
        """The leader's life, with a copy of each batch into the stream, if there is one."""
        async with AsyncExitStack() as stack:
            if self._stream is not None:
                out = await stack.enter_async_context(self._stream.writing(self._epoch))
                stack.callback(self._delivery.copy_to, None)
                self._delivery.copy_to(out)
            await self._keep_vigil(listener, chores)

    async def _keep_vigil(self, listener: Listener, chores: Chores) -> None:
        """The vigil's steps, one after the other, and the chores between them."""
        doorbell = chores.doorbell
        vigil = self._vigil(doorbell)
        step = Step.LOOK
        silent = False
        while True:
            if step is Step.LOOK:
                if self._clock() >= chores.due:
                    await self._do(chores.run)
                    if chores.doorbell and not doorbell:
                        # The database could not be told when the term began; this one has never slept.
                        doorbell, vigil = True, self._vigil(True)
                leased = self.pulse.leased
                found = await self._look(listener)
                if leased and not self.pulse.leased:
                    # The clock has jumped past the lease, or somebody has written for whom it had: until the chores were due by
                    # themselves, nothing would be captured, and nobody be told. Before anything else: events are waiting.
                    chores.due = self._clock()
                    continue
                if silent and found and not self._bell.rung:
                    self.pulse.missed_bells += 1
                silent = False
                if found:
                    await chores.wake_followers()
                step = vigil.looked(found, self._clock())
            elif step is Step.TRY_SLEEP:
                step = vigil.tried(await listener.try_sleep())
            elif step is Step.WAKE:
                await listener.wake()
                step = vigil.woken()
            else:
                self.pulse.rest(asleep=vigil.asleep, heard=listener.heard)
                silent = not await self._bell.wait(vigil.delay) and vigil.asleep
                step = Step.LOOK

    def _vigil(self, doorbell: bool) -> Vigil:
        settings = self._settings
        # The safety poll is the heartbeat as well: one that is slower than that would be taken for frozen.
        safety_interval = min(settings.safety_interval, settings.heartbeat_timeout / 2)
        return Vigil(doorbell=doorbell, poll_interval=settings.poll_interval, safety_interval=safety_interval)

    async def _follow(self, listener: Listener) -> Chores:
        """A follower's life, until the leader is gone and this one leads."""
        async with AsyncExitStack() as stack:
            intake = None
            if self._stream is not None:
                copies = await stack.enter_async_context(self._stream.reading(self._epoch, self._bell))
                intake = Intake(copies, self._bell, self._delivery, self._clock)
            checked = self._clock()
            while True:
                found = await self._look(listener)
                if intake is not None and intake.missed(found):
                    await (listener.follow() if intake.wants_bell else listener.unfollow())
                if self._settings.relay and self._clock() - checked >= FOLLOWER_CHECK:
                    checked = self._clock()
                    if (chores := await self._try_to_lead(listener)) is not None:
                        self.pulse.up(leading=True)
                        return chores
                    pid = await listener.end_frozen_leader(self._settings.heartbeat_timeout)
                    if pid is not None:
                        logger.warning("the leading relay was frozen: ended its database session %d", pid)
                self.pulse.rest(asleep=False, heard=listener.heard)
                delay = min(self._settings.safety_interval, FOLLOWER_CHECK)
                await (self._bell.wait(delay) if intake is None else intake.take(delay))

    @property
    def _epoch(self) -> str:
        assert self._hub.cursor is not None
        return self._hub.cursor.epoch

    async def _look(self, listener: Listener) -> int:
        """Read the log and publish what is there. Returns how many events that were."""
        # Before the look, not after: what rings during it must be looked at again.
        self._bell.clear()
        self.pulse.looking()
        place = self._hub.cursor
        assert place is not None
        portion = self._delivery.portion
        try:
            page = await eventlog.poll(listener.connection, place.snapshot, portion.rows, ANSWER_SECONDS)
        except TimeoutError:
            portion.late()
            raise
        portion.had(page.events, last=not page.more)
        await self._heed(listener, page)
        found = await self._delivery.deliver(listener.connection, place, page)
        self.pulse.looked(found, self._clock())
        return found

    async def _heed(self, listener: Listener, page: eventlog.Page) -> None:
        """What a page says beside its events. Raises EpochEndedError."""
        if page.prepared and self._clock() - self._prepared_at >= PREPARED_CHECK:
            self._prepared_at = self._clock()
            await listener.value("select changefeed.begin_epoch()")
        if page.epoch_id != self.pulse.epoch_id:
            raise EpochEndedError
        if self._recheck or page.watch_changes != self._watch_changes:
            # Before it is read, so that whoever asks meanwhile is served by the next look.
            self._recheck = False
            self.pulse.watches = await watches(listener.connection, ANSWER_SECONDS)
            self._watch_changes = page.watch_changes
        self.pulse.leased = page.leased
        self.pulse.kicks = page.kicks
        self.pulse.inquiries = page.inquiries
