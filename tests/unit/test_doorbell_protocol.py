"""The doorbell's protocol, every interleaving of it: two writers, one relay, and the order in which Postgres commits.

The relay's decisions are made by the real `Vigil`; the lock, the bell and the log are models. All reachable states are
visited. In none of them may the relay sleep beside an unread row without a ring on its way: the safety poll, which would
heal it a second later, is left out of the model. The same search finds the fault in every protocol that has one.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from changefeed.vigil import BUSY, Step, Vigil

TRANSACTIONS = 2
"""Each writer's."""


@dataclass(frozen=True)
class Writer:
    """One session of the application's, between two of its steps."""

    stage: str = "idle"
    left: int = TRANSACTIONS
    holds: bool = False
    """The shared lock."""
    rings: bool = False
    """NOTIFY was called; it is delivered last of all."""

    @property
    def key(self) -> tuple[str, int, bool, bool]:
        return (self.stage, self.left, self.holds, self.rings)


@dataclass(frozen=True)
class Protocol:
    """Who does what, in which order. The defaults are ours."""

    vigil: Callable[[], Vigil] = lambda: Vigil(doorbell=True, poll_interval=0.005, safety_interval=1.0)
    look: tuple[str, str] = ("clear", "read")
    commit: tuple[str, str, str] = ("becomes visible", "frees its locks", "notifies")
    """As Postgres does it: CommitTransaction() in xact.c."""
    first_rings: bool = False
    """Writers lock each other out, not the relay: whoever is first rings, the others rely on it."""


@dataclass(frozen=True)
class World:
    """A state of everything."""

    writers: tuple[Writer, ...]
    vigil: Vigil
    relay: str
    """What the relay does next: clear, read, or the value of a Step."""
    locked: bool = False
    """The relay holds "asleep"."""
    unread: bool = False
    """There are committed rows that the relay has not read."""
    rung: bool = False
    in_flight: int = 0
    """Notifications that Postgres has sent and the relay's process has not heard."""
    found: bool = False
    """By a look of which only one half is done."""
    deaths: int = 1
    """How often the relay may still be killed."""

    @property
    def key(self) -> object:
        """Two worlds of one key go on alike: how long to wait is of no consequence, and the writers are the same."""
        mind = tuple((name, value) for name, value in vars(self.vigil).items() if name not in ("_quiet", "delay"))
        one, other = self.writers
        writers = (one, other) if one.key <= other.key else (other, one)
        return (writers, self.relay, self.locked, self.unread, self.rung, self.in_flight, self.found, self.deaths, mind)

    @property
    def overslept(self) -> bool:
        """The relay sleeps, a committed row is unread, and no ring is on its way."""
        ringing = any(writer.rings and writer.stage not in ("idle", "open") for writer in self.writers)
        on_its_way = self.rung or self.in_flight or ringing
        return self.relay == Step.WAIT.value and self.vigil.asleep and self.unread and not on_its_way


def steps(world: World, protocol: Protocol) -> Iterator[tuple[str, World]]:
    for number, writer in enumerate(world.writers):
        for what, after, changed in writer_steps(world, writer, protocol):
            writers = (*world.writers[:number], after, *world.writers[number + 1 :])
            yield f"writer {number + 1} {what}", replace(changed, writers=writers)
    if world.in_flight:
        yield "a notification is heard", replace(world, in_flight=world.in_flight - 1, rung=True)
    if world.deaths:
        # The lock goes with the session, and so do notifications that it has not read. The next one listens, then looks.
        fresh = replace(world, vigil=protocol.vigil(), relay=protocol.look[0], locked=False)
        yield "the relay is replaced", replace(fresh, rung=False, in_flight=0, deaths=world.deaths - 1)
    yield from relay_steps(world, protocol)


def writer_steps(world: World, writer: Writer, protocol: Protocol) -> Iterator[tuple[str, Writer, World]]:
    if writer.stage == "idle":
        if writer.left:
            if protocol.first_rings:
                granted = not any(other.holds for other in world.writers)
                after = replace(writer, stage="open", holds=granted, rings=granted)
            else:
                granted = not world.locked
                after = replace(writer, stage="open", holds=granted, rings=not granted)
            yield f"writes, and {'gets' if granted else 'does not get'} the lock", after, world
        return
    ended = Writer(left=writer.left - 1)
    if writer.stage == "open":
        yield "rolls back", ended, world
        # The lock, the bell and the mark "asked already" fall back together; the next row asks anew.
        yield "rolls back to a savepoint", Writer(left=writer.left), world
        stage = protocol.commit[0]
    else:
        stage = writer.stage
    following = protocol.commit[protocol.commit.index(stage) + 1 :]
    after = replace(writer, stage=following[0]) if following else ended
    if stage == "becomes visible":
        yield stage, after, replace(world, unread=True)
    elif stage == "frees its locks":
        yield stage, replace(after, holds=False), world
    else:
        yield stage, after, replace(world, in_flight=world.in_flight + writer.rings)


def relay_steps(world: World, protocol: Protocol) -> Iterator[tuple[str, World]]:
    if world.relay in protocol.look:
        cleared, read = replace(world, rung=False), replace(world, unread=False, found=world.unread)
        changed = cleared if world.relay == "clear" else read
        if world.relay == protocol.look[0]:
            yield f"the relay: {world.relay}", replace(changed, relay=protocol.look[1])
            return
        for elapsed in (0.0, 1.0):
            vigil = copy.copy(world.vigil)
            step = vigil.looked(changed.found, elapsed)
            # Changes come close together or far apart, and nothing else matters: so equal states are found equal.
            vigil._last_found = 0.0 if elapsed - vigil._last_found < BUSY else float("-inf")
            yield f"the relay: {world.relay}, then {step.value}", after(changed, protocol, vigil, step)
    elif world.relay == Step.TRY_SLEEP.value:
        granted = not any(writer.holds for writer in world.writers)
        vigil = copy.copy(world.vigil)
        step = vigil.tried(granted)
        what = f"the relay {'gets' if granted else 'does not get'} the lock, then {step.value}"
        yield what, after(replace(world, locked=granted), protocol, vigil, step)
    elif world.relay == Step.WAKE.value:
        vigil = copy.copy(world.vigil)
        yield "the relay frees the lock", after(replace(world, locked=False), protocol, vigil, vigil.woken())
    elif world.rung or not world.vigil.asleep:
        yield "the relay stops waiting", replace(world, relay=protocol.look[0])


def after(world: World, protocol: Protocol, vigil: Vigil, step: Step) -> World:
    return replace(world, vigil=vigil, relay=protocol.look[0] if step is Step.LOOK else step.value, found=False)


@dataclass
class Search:
    """What was reached from the beginning."""

    worlds: dict[object, World]
    fault: list[str] | None
    """The shortest way into a state in which the relay oversleeps; None: there is none."""


def search(protocol: Protocol) -> Search:
    first = World((Writer(), Writer()), protocol.vigil(), protocol.look[0])
    worlds = {first.key: first}
    ways: dict[object, tuple[object, str] | None] = {first.key: None}
    frontier = [first]
    while frontier:
        reached = []
        for world in frontier:
            for what, then in steps(world, protocol):
                if then.key in worlds:
                    continue
                worlds[then.key] = then
                ways[then.key] = (world.key, what)
                if then.overslept:
                    return Search(worlds, list(way_to(then.key, ways)))
                reached.append(then)
        frontier = reached
    return Search(worlds, None)


def way_to(key: object, ways: dict[object, tuple[object, str] | None]) -> Iterator[str]:
    before = ways[key]
    if before is not None:
        yield from way_to(before[0], ways)
        yield before[1]


@pytest.fixture(scope="module")
def everything() -> Search:
    return search(Protocol())


def test_no_wake_up_is_lost_in_any_interleaving(everything: Search) -> None:
    assert everything.fault is None, "\n".join(everything.fault)


def test_the_search_has_seen_what_matters(everything: Search) -> None:
    worlds = everything.worlds.values()
    asleep = [world for world in worlds if world.relay == Step.WAIT.value and world.vigil.asleep]
    assert any(world.in_flight and world.unread for world in asleep), "a ring that wakes"
    assert any(world.rung and not world.unread for world in asleep), "a ring for what was read already"
    assert any(not any(writer.left for writer in world.writers) for world in asleep), "asleep again after everything"
    assert any(writer.holds and world.relay == Step.TRY_SLEEP.value for world in worlds for writer in world.writers)
    assert any(writer.rings and not world.locked for world in worlds for writer in world.writers), (
        "woken before the ring"
    )
    assert any(world.locked and world.relay == Step.WAKE.value for world in worlds)
    assert {world.deaths for world in worlds} == {0, 1}


def test_when_nothing_more_can_happen_everything_has_been_read(everything: Search) -> None:
    ends = [world for world in everything.worlds.values() if not any(steps(world, Protocol()))]
    assert ends
    assert not any(world.unread for world in ends)


def test_a_relay_that_only_polls_needs_no_ring() -> None:
    polling = search(Protocol(vigil=lambda: Vigil(doorbell=False, poll_interval=0.005, safety_interval=1.0)))
    assert polling.fault is None
    assert not any(world.locked or world.vigil.asleep for world in polling.worlds.values())


class WithoutALastLook(Vigil):
    def tried(self, granted: bool) -> Step:
        step = super().tried(granted)
        return self._wait(1.0) if granted else step


class WithoutTheLock(Vigil):
    """Falls asleep and frees the lock at once, so that writers believe it awake."""

    def looked(self, found: int, now: float) -> Step:
        step = super().looked(found, now)
        return Step.WAKE if step is Step.WAIT and self.asleep else step

    def woken(self) -> Step:
        return self._wait(1.0)


class WithoutAsking(Vigil):
    """Needs no lock: it sleeps after the first empty look."""

    def looked(self, found: int, now: float) -> Step:  # noqa: ARG002
        self.asleep = not found
        return Step.LOOK if found else self._wait(1.0)


@pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(
            Protocol(vigil=lambda: WithoutALastLook(doorbell=True, poll_interval=0.005, safety_interval=1.0)),
            id="no look after taking the lock",
        ),
        pytest.param(
            Protocol(vigil=lambda: WithoutTheLock(doorbell=True, poll_interval=0.005, safety_interval=1.0)),
            id="asleep without the lock",
        ),
        pytest.param(
            Protocol(vigil=lambda: WithoutAsking(doorbell=True, poll_interval=0.005, safety_interval=1.0)),
            id="asleep without having asked for the lock",
        ),
        pytest.param(Protocol(look=("read", "clear")), id="the bell cleared after the look"),
        pytest.param(
            Protocol(
                vigil=lambda: WithoutAsking(doorbell=True, poll_interval=0.005, safety_interval=1.0), first_rings=True
            ),
            id="the first rings, the others skip",
        ),
        pytest.param(
            Protocol(commit=("frees its locks", "becomes visible", "notifies")),
            id="locks freed before the commit is visible",
        ),
        pytest.param(
            Protocol(commit=("notifies", "becomes visible", "frees its locks")),
            id="notified before the commit is visible",
        ),
    ],
)
def test_the_search_finds_the_fault_of_a_protocol_that_has_one(protocol: Protocol) -> None:
    fault = search(protocol).fault
    assert fault is not None
    assert any("becomes visible" in step for step in fault)
