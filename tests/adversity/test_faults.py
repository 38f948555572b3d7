"""The short form: each fault once, a few hundred changes, and nothing lost, nothing of somebody else's, nothing out of order.

The long form is `make adversity`, which goes on for minutes and writes `docs/adversity.md`.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.adversity.faults import FAULTS
from tests.adversity.stage import Fault, Scene, stage

SEED = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """One stage for all: what a fault leaves behind is the next one's starting point."""
    async with stage(SEED) as set_up:
        yield set_up


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name, marks=pytest.mark.needs(*fault.needs)) for fault in FAULTS]
)
async def test_nothing_is_lost_leaked_or_out_of_order(scene: Scene, fault: Fault) -> None:
    report = await scene.play(fault, changes=300, rate=400, seed=SEED)
    assert report.verdict.words == []
    assert report.changes >= 300
    assert report.verdict.delivered > 0
