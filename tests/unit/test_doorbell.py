"""The bell remembers one ring, and wakes whoever waits for it."""

import asyncio

from changefeed.doorbell import Doorbell

LONG = 60.0


async def test_a_ring_before_the_wait_is_heard() -> None:
    bell = Doorbell()
    bell.ring()
    assert bell.rung
    assert await bell.wait(LONG)


async def test_a_ring_during_the_wait_is_heard() -> None:
    bell = Doorbell()
    waiting = asyncio.create_task(bell.wait(LONG))
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.ring()
    assert await waiting


async def test_rings_coalesce_until_they_are_cleared() -> None:
    bell = Doorbell()
    for _ in range(3):
        bell.ring()
    assert await bell.wait(LONG)
    assert bell.rung, "hearing does not clear"
    bell.clear()
    assert not bell.rung


async def test_without_a_ring_the_wait_ends_by_itself_and_says_so() -> None:
    bell = Doorbell()
    assert not await bell.wait(0.0)
    bell.ring()
    bell.clear()
    assert not await bell.wait(0.0)


async def test_a_ring_that_has_come_is_heard_even_without_time_to_wait() -> None:
    bell = Doorbell()
    bell.ring()
    assert await bell.wait(0.0)


async def test_cancelling_the_wait_loses_no_ring() -> None:
    bell = Doorbell()
    waiting = asyncio.create_task(bell.wait(LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    bell.ring()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert await bell.wait(LONG)


async def test_who_asks_first_is_heard_at_once_and_those_who_ask_meanwhile_together() -> None:
    bell = Doorbell()
    heard = []
    for _ in range(3):
        bell.ask(0.05)
        heard.append(bell.rung)
        bell.clear()
    assert heard == [True, False, False]
    assert await bell.wait(LONG)
    bell.clear()
    assert not await bell.wait(0.0)


async def test_asking_keeps_no_ring_waiting() -> None:
    bell = Doorbell()
    bell.ask(LONG)
    bell.clear()
    bell.ask(LONG)
    bell.ring()
    assert bell.rung


async def test_whoever_is_stirred_wakes_without_a_ring_and_waits_the_next_time() -> None:
    bell = Doorbell()
    bell.stir()
    assert not await bell.wait(LONG)
    waiting = asyncio.create_task(bell.wait(LONG))
    await asyncio.sleep(0)
    assert not waiting.done(), "being stirred is forgotten once it has been noticed"
    bell.ring()
    assert await waiting
    bell.stir()
    assert bell.rung, "being stirred takes no ring away"
