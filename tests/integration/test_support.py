"""The tools of this folder: an oracle that misses a fault, or a proxy that breaks nothing, would prove whatever it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.vocabulary import PATIENCE
from tests.support.history import LAST, TASKS, Fate, History
from tests.support.oracle import Viewer, judge, verify
from tests.support.proxy import Proxy

ROW = (TASKS, "row")
OWNER = "owner"


def history(*marks: int | None) -> History:
    """One row's changes, all of them committed."""
    past = History()
    fate = Fate()
    fate.decide("committed")
    for mark in marks:
        if mark is None:
            past.gone(ROW, OWNER, fate)
        else:
            past.written(ROW, OWNER, mark, fate)
    return past


def viewer(*seen: int | dict[str, int] | None) -> Viewer:
    """Somebody who saw these marks; a dict is a refetch, with what the row was then."""
    eyes = Viewer(OWNER)
    for number, what in enumerate(seen):
        if isinstance(what, dict):
            assert eyes.saw({"type": "resync", "data": {"reason": "epoch", "sources": None}}) == "all"
            eyes.fetched({(TASKS, row): mark for row, mark in what.items()})
        else:
            told(eyes, what, str(number))
    return eyes


def told(eyes: Viewer, mark: int | None, number: str, *, user: str = OWNER) -> None:
    """One message."""
    data: dict[str, Any] = {"task_id": ROW[1], "deleted": mark is None, "progress": mark}
    eyes.saw({"type": "agent-task-update", "id": f"e-{number}", "user_id": user, "data": data})


@pytest.mark.parametrize(
    ("committed", "seen"),
    [
        ((1, 2, 3), (1, 2, 3)),
        ((1, 2, None), (1, 2, None)),
        ((1, 2, 3), (1, {"row": 2}, 3)),
        ((1, 2, 3), ({"row": 3},)),
        # What was fetched may be newer than where the messages go on.
        ((1, 2, 3), (1, {"row": 3}, 2, 3)),
        ((1, 2, None, 4), ({}, 4)),
        ((1, 2, None), (1, 2, {})),
        ((), ({},)),
    ],
)
def test_what_is_right_is_accepted(committed: tuple[int | None, ...], seen: tuple[Any, ...]) -> None:
    verify(history(*committed), [viewer(*seen)])


@pytest.mark.parametrize(
    ("committed", "seen", "fault"),
    [
        ((1, 2, 3), (1, 2), "ended with"),
        ((1, 2, 3), (1, 3), "but came"),
        ((1, 2, 3), (1, 3, 2), "but came"),
        ((1, 2), (1, 2, 7), "but came"),
        ((), (1,), "expected nothing"),
        ((1, 2, 3), (1, {"row": 1}, 3), "but came"),
        ((1, 2, 3), (1, {"row": 2}), "ended with"),
        ((1, 2), (1, {}, 2), "but came"),
    ],
)
def test_what_is_wrong_is_found(committed: tuple[int | None, ...], seen: tuple[Any, ...], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        verify(history(*committed), [viewer(*seen)])


def test_what_comes_twice_is_found_by_its_id_and_not_taken_for_another_change() -> None:
    eyes = viewer(1)
    told(eyes, 1, "0")
    told(eyes, 2, "1")
    with pytest.raises(AssertionError, match="twice"):
        verify(history(1, 2), [eyes])
    verify(history(1, 2), [eyes], repeats=True)


def test_somebody_elses_row_is_found() -> None:
    eyes = viewer()
    told(eyes, 1, "1", user="somebody else")
    with pytest.raises(AssertionError, match="of somebody else"):
        verify(history(1), [eyes])


def test_what_was_undone_must_not_come_and_what_is_unknown_may() -> None:
    past, whole = History(), Fate()
    part = Fate(whole)
    past.written(ROW, OWNER, 1, whole)
    past.written(ROW, OWNER, 2, part)
    part.decide("undone")
    whole.decide("committed")
    verify(past, [viewer(1)])
    with pytest.raises(AssertionError):
        verify(past, [viewer(1, 2)])
    unknown = Fate()
    unknown.decide("unknown")
    past.written(ROW, OWNER, 3, unknown)
    verify(past, [viewer(1)])
    verify(past, [viewer(1, 3)])
    with pytest.raises(AssertionError):
        verify(past, [viewer(3)])


def test_every_change_is_accounted_for_once() -> None:
    verdict = judge(history(1, 2, 3, 4, 5), [viewer(1, {"row": 3}, 4, 5), viewer(1, 4, 3, 7)])
    assert (verdict.delivered, verdict.resynced, verdict.lost) == (3 + 2, 2, 3)
    assert (verdict.disordered, verdict.leaked) == (1, 1)


def test_what_raced_a_change_of_owner_may_come_before_it_and_never_after() -> None:
    past, first, late = History(), Fate(), Fate()
    first.decide("committed")
    past.written(ROW, OWNER, 1, first, below="parent")
    past.written(ROW, OWNER, 2, late, below="parent")
    past.passed("parent", OWNER, "somebody else", past.in_flight("parent"))
    late.decide("committed")
    verify(past, [viewer(1, {})])
    verify(past, [viewer(1, 2, {})])
    with pytest.raises(AssertionError, match="ended with"):
        verify(past, [viewer(1, {}, 2)])
    assert [change.mark for change in past.of(ROW, "somebody else")] == [1, 2]


def test_of_conflated_changes_the_last_must_come() -> None:
    eyes = viewer(2, 4)
    verify(history(1, 2, 3, 4), [eyes], conflated=[eyes])
    eyes = viewer(2, 3)
    with pytest.raises(AssertionError):
        verify(history(1, 2, 3, 4), [eyes], conflated=[eyes])


def test_a_viewer_is_done_with_its_last_change_however_it_comes() -> None:
    assert viewer(1, LAST).done.is_set()
    assert viewer({"row": LAST}).done.is_set()
    assert not viewer(1).done.is_set()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that says everything back; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def through(network: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def hears(reader: asyncio.StreamReader, text: bytes) -> bool:
    """Whether this comes next."""
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(len(text)) == text


async def over(reading: Awaitable[bytes]) -> bool:
    """Whether the connection has ended, politely or not."""
    try:
        return await asyncio.wait_for(reading, PATIENCE) == b""
    except ConnectionError:
        return True


async def test_a_proxy_passes_everything_on_and_holds_it_while_it_is_frozen() -> None:
    async with echo() as port, Proxy("127.0.0.1", port) as network, through(network) as (reader, writer):
        writer.write(b"one")
        assert await hears(reader, b"one")
        network.freeze()
        writer.write(b"two")
        async with through(network) as (other_reader, other_writer):
            other_writer.write(b"three")
            waiting = [asyncio.create_task(hears(reader, b"two")), asyncio.create_task(hears(other_reader, b"three"))]
            done, _ = await asyncio.wait(waiting, timeout=0.05)
            assert not done
            network.thaw()
            assert await asyncio.gather(*waiting) == [True, True]


async def test_a_half_open_connection_is_silent_for_ever_and_new_ones_are_not() -> None:
    async with echo() as port, Proxy("127.0.0.1", port) as network, through(network) as (reader, writer):
        writer.write(b"one")
        assert await hears(reader, b"one")
        network.half_open()
        writer.write(b"two")
        waiting = asyncio.create_task(reader.read(1))
        async with through(network) as (other_reader, other_writer):
            other_writer.write(b"three")
            assert await hears(other_reader, b"three")
        assert not waiting.done()
        network.cut()
        assert await over(waiting)


async def test_a_cut_ends_both_sides_and_a_refusal_every_beginning() -> None:
    async with echo() as port, Proxy("127.0.0.1", port) as network, through(network) as (reader, writer):
        writer.write(b"one")
        assert await hears(reader, b"one")
        network.refusing = True
        network.cut()
        async with through(network) as (other, _):
            for side in (reader, other):
                assert await over(side.read(1))
        assert network.accepted == 2


async def test_delayed_and_throttled_bytes_come_late_and_whole() -> None:
    async with echo() as port, Proxy("127.0.0.1", port) as network, through(network) as (reader, writer):
        loop = asyncio.get_running_loop()
        network.delay = 0.05
        network.bytes_per_second = 20_000
        before = loop.time()
        text = bytes(range(256)) * 8
        writer.write(text)
        assert await hears(reader, text)
        # Never earlier than the delay in both directions; how much later is the machine's affair.
        assert loop.time() - before >= 0.1
