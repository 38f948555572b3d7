"""The vigil's table: what follows from what, in every state that it has. That no wake-up is lost is proved next door."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changefeed.vigil import BUSY, LONGEST_REFUSED, Step, Vigil

POLL, SAFETY = 0.005, 1.0
FAR = 10 * BUSY
"""Apart enough for two changes not to count as busy."""


def awake(doorbell: bool = True, poll_interval: float = POLL) -> Vigil:
    return Vigil(doorbell=doorbell, poll_interval=poll_interval, safety_interval=SAFETY)


def falling_asleep() -> Vigil:
    """It has the lock, and has not looked since."""
    vigil = awake()
    vigil.looked(0, now=0.0)
    vigil.tried(True)
    return vigil


def asleep() -> Vigil:
    vigil = falling_asleep()
    vigil.looked(0, now=0.0)
    return vigil


def answering() -> Vigil:
    """Rung while asleep, it has found something at 1 s, and looks again with the lock still held."""
    vigil = asleep()
    vigil.looked(1, now=1.0)
    return vigil


def found_at_1s() -> Vigil:
    """Asleep again after it has answered a ring."""
    vigil = answering()
    vigil.looked(0, now=1.0)
    return vigil


Say = Callable[[Vigil], Step]
NOTHING: Say = lambda vigil: vigil.looked(0, now=1.0 + FAR)  # noqa: E731
SOMETHING: Say = lambda vigil: vigil.looked(3, now=1.0 + FAR)  # noqa: E731
SOMETHING_SOON: Say = lambda vigil: vigil.looked(1, now=1.0 + BUSY / 2)  # noqa: E731
GRANTED: Say = lambda vigil: vigil.tried(True)  # noqa: E731
REFUSED: Say = lambda vigil: vigil.tried(False)  # noqa: E731
FREED: Say = Vigil.woken


@pytest.mark.parametrize(
    ("state", "say", "step", "is_asleep", "delay"),
    [
        (awake, NOTHING, Step.TRY_SLEEP, False, None),
        (awake, SOMETHING, Step.WAIT, False, POLL),
        (awake, GRANTED, Step.LOOK, True, None),
        (awake, REFUSED, Step.WAIT, False, 2 * POLL),
        (falling_asleep, NOTHING, Step.WAIT, True, SAFETY),
        (falling_asleep, SOMETHING, Step.WAKE, True, None),
        (asleep, NOTHING, Step.WAIT, True, SAFETY),
        (asleep, SOMETHING, Step.LOOK, True, None),
        (answering, NOTHING, Step.WAIT, True, SAFETY),
        (answering, SOMETHING, Step.WAKE, True, None),
        (answering, SOMETHING_SOON, Step.WAKE, True, None),
        (answering, FREED, Step.LOOK, False, None),
        (found_at_1s, SOMETHING, Step.LOOK, True, None),
        (found_at_1s, SOMETHING_SOON, Step.WAKE, True, None),
        (found_at_1s, NOTHING, Step.WAIT, True, SAFETY),
    ],
)
def test_the_table(state: Callable[[], Vigil], say: Say, step: Step, is_asleep: bool, delay: float | None) -> None:
    vigil = state()
    assert say(vigil) is step
    assert vigil.asleep is is_asleep
    if delay is not None:
        assert vigil.delay == delay


def test_having_given_the_lock_back_it_is_awake_as_at_first() -> None:
    vigil = answering()
    assert vigil.woken() is Step.LOOK
    assert vigil.looked(0, now=9.0) is Step.TRY_SLEEP
    assert vigil.tried(True) is Step.LOOK
    assert vigil.looked(0, now=9.0) is Step.WAIT


def test_refused_it_looks_less_and_less_often_down_to_the_longest() -> None:
    vigil = awake()
    delays = []
    for _ in range(20):
        assert vigil.looked(0, now=0.0) is Step.TRY_SLEEP
        assert vigil.tried(False) is Step.WAIT
        delays.append(vigil.delay)
    assert delays[:4] == [2 * POLL, 4 * POLL, 8 * POLL, LONGEST_REFUSED]
    assert set(delays[3:]) == {LONGEST_REFUSED}


def test_a_change_makes_it_look_often_again() -> None:
    vigil = awake()
    for _ in range(20):
        vigil.tried(False)
    vigil.looked(1, now=0.0)
    assert vigil.delay == POLL
    vigil.tried(False)
    assert vigil.delay == 2 * POLL


def test_without_a_doorbell_it_never_asks_for_the_lock_and_backs_off() -> None:
    vigil = awake(doorbell=False)
    delays = []
    for _ in range(20):
        assert vigil.looked(0, now=0.0) is Step.WAIT
        delays.append(vigil.delay)
    assert delays[0] == 2 * POLL
    assert delays[-1] == LONGEST_REFUSED
    assert vigil.looked(5, now=0.0) is Step.WAIT
    assert vigil.delay == POLL
    assert not vigil.asleep


@pytest.mark.parametrize("doorbell", [True, False])
def test_with_a_long_poll_interval_it_does_not_look_more_often_when_nothing_comes(doorbell: bool) -> None:
    vigil = awake(doorbell, poll_interval=0.5)
    for _ in range(3):
        vigil.looked(0, now=0.0)
        if doorbell:
            vigil.tried(False)
        assert vigil.delay == 0.5


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1), st.booleans()), max_size=60))
def test_it_waits_a_safety_interval_only_with_the_lock_and_after_an_empty_look(
    doorbell: bool, script: list[tuple[int, float, bool]]
) -> None:
    vigil = awake(doorbell)
    step, now, last_found, locked = Step.LOOK, 0.0, 0, False
    for found, elapsed, granted in script:
        now += elapsed
        if step in (Step.LOOK, Step.WAIT):
            step, last_found = vigil.looked(found, now), found
        elif step is Step.TRY_SLEEP:
            step, locked = vigil.tried(granted), granted
        else:
            step, locked = vigil.woken(), False
        assert vigil.asleep is locked
        assert doorbell or not locked
        if step is Step.WAIT:
            assert 0 < vigil.delay <= (SAFETY if locked else LONGEST_REFUSED)
            assert not locked or not last_found
