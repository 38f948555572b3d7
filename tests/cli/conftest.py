"""Fixtures: databases on the embedded server, and programs that are gone when the test is over."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.cli.program import begin
from tests.support.database import Database, Databases
from tests.support.service import Process, Services, services
from tests.support.site import Site, site

Begin = Callable[..., Process]


@pytest.fixture
async def migrated(embedded: Databases) -> AsyncIterator[Database]:
    """A database in which changefeed is installed."""
    async with embedded.clone(migrated=True) as database:
        yield database


@pytest.fixture
async def fresh(embedded: Databases) -> AsyncIterator[Database]:
    """A database that changefeed has never seen."""
    async with embedded.clone(migrated=False) as database:
        yield database


@pytest.fixture
async def place(migrated: Database) -> AsyncIterator[Site]:
    """An installed database, with the application that writes to it."""
    started: Services
    with services(migrated.feed_dsn) as started:
        async with site(migrated, started) as found:
            yield found


@pytest.fixture
def start() -> Iterator[Begin]:
    """Starts programs, and kills them when the test is over."""
    running: list[Process] = []

    def starting(*arguments: str, dsn: str, **settings: Any) -> Process:
        running.append(begin(*arguments, dsn=dsn, **settings))
        return running[-1]

    yield starting
    for process in running:
        process.kill()
        assert "Traceback" not in process.log, process.log
