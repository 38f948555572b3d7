"""Nobody ever receives another's row, key, owner or numbers, whatever he sends, over every transport and over REST.

Each history is drawn: people, teams and administrators who come with good and bad tokens, to any topics, from any place
(their own, others', made up); rows that are written, pass to others and go, alone, below their parents, and while somebody
writes to them; kicks. Every value in every message is then looked up: it must have stood in a row of the receiver's while
that was his. Everybody who is still there at the end must have received rows of his own.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

from tests.api.changing import Change, Race, Write
from tests.api.conftest import noted
from tests.api.possessions import EXECUTION, KINDS, MEMO, NOTE, TASK, Kind, Owner
from tests.api.scenarios import ADMIN, TYPED
from tests.api.scene import BAD, CLAIMS, Scene, Since
from tests.api.steps import Ask, Go, Join, Kick, Say
from tests.support.database import Database, Databases
from tests.support.service import Services
from tests.support.site import Site, site
from tests.support.subscribers import TRANSPORTS

NARROW: dict[str, Any] = {
    "owner_claims": '{"sub": "user", "org": "org"}',
    "jwt_leeway": 60,
    "window_events": 25,
    "page_rows": 7,
    "buffer_messages": 6,
    "heartbeat_interval": 1,
    "statistics_interval": 0.02,
    "max_user_connections": 1000,
    "max_messages_per_minute": 100_000,
}
"""Little room: what is missed comes from memory as well as from the log, and a session that is slow reads on from there."""


class Step(Protocol):
    async def act(self, scene: Scene) -> object: ...


few = st.integers(0, 5)
topics = st.none() | st.lists(
    st.sampled_from([*sorted(TYPED), *(f"rows:{kind.source}" for kind in KINDS), "dashboard-stats", *sorted(ADMIN)]),
    min_size=1, max_size=4, unique=True,
).map(tuple)  # fmt: skip
sinces = st.none() | st.one_of(
    st.builds(Since, st.just("told"), st.integers(0, 60)),
    st.builds(Since, st.just("forged"), st.integers(0, 300), st.lists(st.integers(0, 40), max_size=4).map(tuple)),
    st.builds(Since, st.just("epoch")),
    st.builds(Since, st.just("text"), few, text=st.text("0123456789abcdef.-'", min_size=1, max_size=4)),
)
claimed = st.sampled_from([*CLAIMS, *BAD])
transports = st.sampled_from(TRANSPORTS)
hows = st.sampled_from(
    ["insert", "insert", "change", "change", "hand", "hand", "pass", "rekey", "delete", "fell", "undo"]
)
changes = st.builds(Change, hows, st.sampled_from(KINDS), few, few, st.booleans())
writes = st.builds(Write, st.lists(changes, min_size=1, max_size=4).map(tuple))
joins = st.builds(
    Join, few, transports, claimed, topics, st.sampled_from(["log", "state"]), st.sampled_from([0, 0, 30]), sinces
)
steps: st.SearchStrategy[Step] = st.one_of(
    writes,
    writes,
    writes,
    joins,
    joins,
    st.builds(Say, few, st.none() | claimed, topics, sinces),
    st.builds(Race, few, few),
    st.builds(Kick, few, transports),
    st.builds(Ask, few, claimed),
    st.builds(Go, few),
)


CERTAIN: list[Step] = [
    *(Write((Change("hand", kind, 0, to, anew=True),)) for kind in KINDS for to in (1, 2)),
    *(Write((Change("change", kind, 0, 0, anew=True), Change("hand", kind, 0, 1, anew=False))) for kind in KINDS),
    *(Join(number, transport, "teams", since=Since("told", number)) for number, transport in enumerate(TRANSPORTS)),
    Write((Change("pass", EXECUTION, 0, 2, anew=False), Change("rekey", TASK, 1, 0, anew=True))),
    Race(0, 1),
    Say(0, "plain"),
    *(Join(2, transport, claim) for transport, claim in zip(TRANSPORTS, ("posing", "shouted", "admin"), strict=True)),
    Kick(1, "websocket"),
    Ask(1, "posing"),
    Write((Change("insert", NOTE, 0, 2, anew=True), Change("fell", EXECUTION, 0, 0, anew=False))),
    Join(1, "sse", "plain", since=Since("forged", 200)),
    Kick(2, "sse"),
]
"""What every run tries."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def common_narrow(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """A process with little room. A traceback in its log fails the last test."""
    async with noted(embedded, NARROW) as found:
        yield found


@pytest.fixture
async def narrow(common_narrow: tuple[Database, Services]) -> AsyncIterator[Site]:
    async with site(*common_narrow) as found:
        yield found


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    # Not made smaller: whoever waits in vain waits for long, and would do so again with every attempt.
    phases=[Phase.explicit, Phase.generate],
    # The process is the same for all examples, on purpose.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(people=3, history=CERTAIN)
@given(people=st.integers(2, 3), history=st.lists(steps, min_size=12, max_size=30))
async def test_nobody_is_ever_sent_anything_of_anybody_else(narrow: Site, people: int, history: list[Step]) -> None:
    scene = Scene(narrow, people)
    note(f"{people} people")
    try:
        notes = await begin(scene)
        for step in history:
            note(f"{step}")
            await step.act(scene)
        await finish(scene, notes)
    finally:
        await asyncio.gather(*(one.leave() for one in scene.onlookers))
        # Before anything else that went wrong: a wait in vain may come of it.
        complaints = [words for one in scene.onlookers for words in one.complaints()]
        assert not complaints, f"{len(complaints)} messages, the first ones:\n" + "\n".join(complaints[:3])


async def begin(scene: Scene) -> dict[Owner, str]:
    """Everybody comes, keeps the place that he is told first, and gets rows of his own. Returns each one's note."""
    await scene.rows.settle()
    for number in range(len(scene.rows.people)):
        one = await Join(number, TRANSPORTS[number], "team").act(scene)
        assert one is not None
        scene.first.append(str(one.client.cursor))
    return {owner: key for kind, owner, key in await all_get(scene, *KINDS) if kind is NOTE}


async def finish(scene: Scene, notes: dict[Owner, str]) -> None:
    """Everybody comes back with another's first place, and misses nothing; then whoever is there gets rows of his own."""
    for number, person in enumerate(scene.rows.people):
        back = await Join(number, TRANSPORTS[(number + 1) % 3], "team", since=scene.first[number - 1]).act(scene)
        assert back is not None
        await back.got(notes["user", person])
    # An owner change through a parent puts writes in doubt that come in the same window. After these it is over.
    await all_get(scene, NOTE, MEMO)
    await all_get(scene, EXECUTION, TASK)
    for one in scene.onlookers:
        if one.live and one.topics is None:
            await one.knows_his_numbers()
    for number in range(len(scene.rows.people)):
        await Ask(number, "plain").act(scene)


async def all_get(scene: Scene, *kinds: Kind) -> list[tuple[Kind, Owner, str]]:
    """A new row of each kind for everybody, which comes to whoever may see it and wants to. Returns their keys."""
    made: list[tuple[Kind, Owner, str]] = []
    for person in scene.rows.people:
        for kind in kinds:
            row = await scene.rows.insert(kind, await scene.rows.home(kind, person))
            assert row is not None
            await scene.rows.count()
            owner = scene.rows.owner(kind, row.values)
            assert owner is not None
            made.append((kind, owner, row.key))
    waiting = [
        (one, key)
        for one in scene.onlookers
        for kind, owner, key in made
        if one.live and owner in one.owners and one.wants(kind)
    ]
    assert {one.person for one, _ in waiting} >= set(scene.rows.people)
    for one, key in waiting:
        await one.got(key)
    return made
