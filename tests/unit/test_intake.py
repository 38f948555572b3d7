"""What a follower takes from the stream between two looks: until it must look, and whom it asks to ring."""

from collections import deque
from collections.abc import Callable

from changefeed.copy import Copy
from changefeed.cursor import Snapshot
from changefeed.delivery import Delivery
from changefeed.doorbell import Doorbell
from changefeed.hub import Hub
from changefeed.intake import Intake
from changefeed.mapping import EventMapping
from changefeed.pulse import Pulse
from changefeed.settings import Settings
from changefeed.window import Window
from tests.unit.transactions import EPOCH, cursor, event

LONG = 60.0


def at(xmax: int) -> Snapshot:
    return Snapshot(xmax, xmax, frozenset())


class Follower:
    """One whose place is 10, and whose time goes on with each question."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        settings = Settings()
        self.hub = Hub(EventMapping(settings.sources), Window(100, 1 << 20))
        self.hub.begin(cursor(10))
        self.copies: deque[Copy] = deque()
        self.bell = Doorbell()
        self.pulse = Pulse()
        delivery = Delivery(self.hub, self.pulse, settings, clock)
        self.intake = Intake(self.copies, self.bell, delivery, clock)

    def brings(self, after: int, upto: int) -> None:
        self.copies.append(Copy(EPOCH, at(after), at(upto), upto, (event(seq=upto, xid=upto - 1),)))
        self.bell.stir()


async def test_copies_that_join_on_are_delivered_until_one_does_not() -> None:
    follower = Follower()
    for after, upto in ((10, 12), (12, 15), (10, 13), (17, 19), (19, 21)):
        follower.brings(after, upto)
    await follower.intake.take(LONG)
    assert follower.hub.cursor == cursor(15)
    assert follower.pulse.copies == follower.pulse.found == 2
    assert not follower.bell.rung
    # What came behind the gap is looked at again after the look.
    assert [copy.upto.xmax for copy in follower.copies] == [21]


async def test_a_ring_ends_it_before_anything_is_taken() -> None:
    follower = Follower()
    follower.brings(10, 12)
    follower.bell.ring()
    await follower.intake.take(LONG)
    assert follower.hub.cursor == cursor(10)


async def test_time_ends_it() -> None:
    times = iter(range(100))
    follower = Follower(clock=lambda: float(next(times)))
    for upto in (12, 14, 16):
        follower.brings(upto - 2, upto)
    await follower.intake.take(0.5)
    assert follower.hub.cursor == cursor(10), "its time was over before it began"
    await follower.intake.take(1.5)
    assert follower.hub.cursor == cursor(16)


async def test_who_misses_something_asks_for_the_bell_until_the_stream_brings_it() -> None:
    follower = Follower()
    intake = follower.intake
    assert (intake.missed(0), intake.wants_bell) == (False, False)
    assert (intake.missed(3), intake.wants_bell) == (True, True)
    assert (intake.missed(3), intake.wants_bell) == (False, True)
    follower.brings(10, 12)
    follower.brings(17, 19)
    await intake.take(LONG)
    # The look that the gap caused has found something; but the stream is there.
    assert (intake.missed(3), intake.wants_bell) == (True, False)
