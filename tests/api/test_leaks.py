"""A storm of connections that come and go in every way leaves nothing behind: no session, no task, no socket, no memory."""

import asyncio
import itertools
from collections.abc import Iterator

from tests.support.footprint import calm
from tests.support.service import PAUSE
from tests.support.site import Site
from tests.support.tenant import Tenant
from tests.support.visits import VISITS, Visit, storm

NUMBER = 300
MOST_GROWTH = 1 << 20
"""Bytes: 3 KiB for each visit. A session that stays behind takes ten times as much."""
STORMS = 8
"""Within which the memory must have stopped growing."""
SETTINGS = {
    "max_messages_per_minute": 60,
    # Kept in memory for those who come back: full after the first storm.
    "window_events": 100,
    # Connections to the database come and go as they are needed: with one in each pool, their number says something.
    "pool_size": 1,
    "host_pool_size": 1,
}


def visits(tenants: list[Tenant]) -> Iterator[tuple[Visit, str]]:
    """Of each kind in turn, by somebody else each time."""
    pairs = zip(itertools.cycle(VISITS), itertools.cycle(tenants), strict=False)
    return ((visit, tenant.token()) for visit, tenant in itertools.islice(pairs, NUMBER))


async def write(tenants: list[Tenant]) -> None:
    """Changes of everybody's rows, one after the other, so that some are under way whoever goes."""
    executions = [await tenant.begin() for tenant in tenants]
    for progress in itertools.count():
        for tenant, execution in zip(tenants, executions, strict=True):
            await tenant.move(execution, progress)
            await asyncio.sleep(PAUSE)


async def test_a_storm_of_connections_leaves_nothing_behind(own: Site) -> None:
    process = await own.start(**SETTINGS)
    tenants = [await own.tenant() for _ in range(5)]
    async with asyncio.TaskGroup() as beside:
        writing = beside.create_task(write(tenants))
        # What is made once is made now: pools and caches.
        await storm(process.url, visits(tenants))
        before = after = await calm(process)
        grown = MOST_GROWTH
        # The service remembers those who were here last, up to a number of them: after that nothing grows any more.
        for _ in range(STORMS):
            former = after
            await storm(process.url, visits(tenants))
            after = await calm(process, before)
            assert after.nobody
            assert after.tasks <= before.tasks
            assert after.descriptors <= before.descriptors
            if (grown := after.resident - former.resident) < MOST_GROWTH:
                break
        assert grown < MOST_GROWTH
        writing.cancel()
