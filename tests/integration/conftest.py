"""Servers that one test needs and no other: with prepared transactions."""

from collections.abc import AsyncIterator

import pytest

from demo import host
from demo.postgres import Postgres
from tests.support.database import Database, Databases
from tests.support.server import SETTINGS, Server


@pytest.fixture
async def preparing_server() -> AsyncIterator[Server]:
    """An embedded server of this test's own, which allows prepared transactions."""
    with Postgres(settings={**SETTINGS, "max_prepared_transactions": "5"}, durable=False) as postgres:
        server = Server("preparing", postgres.dsn("postgres"), postgres)
        await host.create_roles(server.admin_dsn)
        yield server


@pytest.fixture
async def preparing_database(preparing_server: Server) -> AsyncIterator[Database]:
    """A migrated database on it."""
    async with Databases(preparing_server).clone(migrated=True) as database:
        yield database
