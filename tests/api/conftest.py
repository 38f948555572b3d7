"""Fixtures for tests of the running service: most share its processes and a database, and meet nobody there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.support.database import Database, Databases
from tests.support.service import Services, services
from tests.support.site import Site, site

TIGHT: dict[str, Any] = {
    "max_replay": 3,
    "heartbeat_interval": 0.3,
    "expiry_warning": 60,
    "expiry_grace": 0.1,
    "owner_claims": '{"sub": "user", "org": "org"}',
    "max_user_connections": 3,
    "max_message_bytes": 1000,
    "max_messages_per_minute": 20,
    "max_errors": 4,
    "auth_timeout": 0.3,
    "query_token": "false",
    "allowed_origins": "https://app.example.com",
}
"""Settings with which little is enough to see what they do."""

GENEROUS: dict[str, Any] = {
    "max_errors": 10_000,
    "max_messages_per_minute": 100_000,
    "max_user_connections": 10_000,
    "auth_timeout": 0.5,
}
"""Settings with which hardly anything offends."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def common(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """A migrated database in which tables without a type are watched as well, and two processes over it.

    Tokens say when they were issued in whole seconds: with leeway one may be from a moment that has not yet come.
    """
    async with noted(embedded, {"jwt_leeway": 60}, {"jwt_leeway": 60}) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def common_tight(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """The same with one process whose settings are TIGHT."""
    async with noted(embedded, TIGHT) as found:
        yield found


@asynccontextmanager
async def noted(embedded: Databases, *processes: dict[str, Any]) -> AsyncIterator[tuple[Database, Services]]:
    """A migrated database with `note` and `memo`, and a process for each of these settings."""
    async with embedded.clone(migrated=True) as database:
        await watch_notes(database)
        with services(database.feed_dsn) as running:
            for settings in processes:
                await running.start(**settings)
            yield database, running


async def watch_notes(database: Database) -> None:
    """`note`, of users, and `memo`, of organisations: small tables of the application's that have no type."""
    app, feed = await asyncpg.connect(database.app_dsn), await asyncpg.connect(database.feed_dsn)
    await app.execute("create table note (id int primary key, writer uuid, body text)")
    await app.execute("create table memo (id int primary key, team text)")
    await feed.execute("select changefeed.watch('note', 'writer', bulk_rows => 3)")
    await feed.execute("select changefeed.watch('memo', 'team', owner_kind => 'org')")
    await app.close()
    await feed.close()


@pytest.fixture
async def shared(common: tuple[Database, Services]) -> AsyncIterator[Site]:
    """The processes and the database that tests share: for whatever leaves both as they were."""
    async with site(*common) as found:
        yield found


@pytest.fixture
async def tight(common_tight: tuple[Database, Services]) -> AsyncIterator[Site]:
    """The same where little is enough."""
    async with site(*common_tight) as found:
        yield found


@pytest.fixture
async def own(embedded: Databases) -> AsyncIterator[Site]:
    """A migrated database of the test's own, without any process yet."""
    async with embedded.clone(migrated=True) as database:
        with services(database.feed_dsn) as running:
            async with site(database, running) as found:
                yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def common_fuzzed(embedded: Databases) -> AsyncIterator[tuple[Database, Services]]:
    """A process that is not offended easily. A traceback in its log fails the last test."""
    async with embedded.clone(migrated=True) as database:
        with services(database.feed_dsn) as running:
            await running.start(**GENEROUS)
            yield database, running


@pytest.fixture
async def fuzzed(common_fuzzed: tuple[Database, Services]) -> AsyncIterator[Site]:
    async with site(*common_fuzzed) as found:
        yield found
