"""A service for the client to talk to. It does not matter to the client which server is behind it: the embedded one is enough."""

from collections.abc import Iterator

import pytest

from tests.support.database import Database, Databases
from tests.support.service import Services, services


@pytest.fixture(scope="session")
def databases(embedded: Databases) -> Databases:
    """The embedded server's."""
    return embedded


@pytest.fixture
def processes(database: Database) -> Iterator[Services]:
    with services(database.feed_dsn) as started:
        yield started
