"""Fixtures: a database of the test's own, processes of the service over it, and what `/metrics` says."""

from collections.abc import AsyncIterator

import pytest

from changefeed.feed import Feed
from changefeed.settings import Settings
from tests.support.database import Database, Databases
from tests.support.service import services
from tests.support.site import Site, site


@pytest.fixture
async def own(embedded: Databases) -> AsyncIterator[Site]:
    """A migrated database of the test's own, without any process yet."""
    async with embedded.clone(migrated=True) as database:
        with services(database.feed_dsn) as running:
            async with site(database, running) as found:
                yield found


@pytest.fixture
async def leading(database: Database) -> AsyncIterator[Feed]:
    """A relay that leads."""
    async with Feed(Settings(dsn=database.feed_dsn)) as feed:
        await feed.pulse.until(lambda: feed.pulse.leading)
        yield feed
