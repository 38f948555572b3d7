"""Fixtures for every test: a server, a database of the test's own, connections in each of the three roles.

A test that asks for `database` (or anything built on it) runs twice, on the embedded server and on the one in
a container. `@pytest.mark.needs("redis", ...)` says what else a test needs from the machine.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

import tools.example
from demo import host
from tests.support.database import Database, Databases
from tests.support.requirements import NEEDS, demanded, require
from tests.support.server import Server, container_server, embedded_server


def pytest_configure() -> None:
    """A wrong name in the environment ends the run before it begins."""
    demanded()
    # In the background of a shell it is ignored, which every process that a test starts and interrupts would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or fails, what the machine cannot run, before any fixture is set up."""
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if need not in NEEDS:
                raise pytest.UsageError(f"{item.nodeid}: needs({need!r}) is not one of {', '.join(NEEDS)}")
            require(need)


@pytest.fixture(scope="session")
def client_packages() -> Path:
    """`client/node_modules`, as the lock file says; the test needs node."""
    require("node")
    return tools.example.packages()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Databases]:
    """The embedded server's databases."""
    with embedded_server() as server:
        yield Databases(server)


@pytest.fixture(scope="session")
def container() -> Iterator[Databases]:
    """The container server's databases; the test is skipped where there is no container engine."""
    with container_server(require("container")) as server:
        yield Databases(server)


@pytest.fixture(scope="session", params=["embedded", "container"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """One server's databases; tests that use it run once for each server."""
    chosen: Databases = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def server(databases: Databases) -> Server:
    """The server that this test runs on. Shared: a test that stops or kills one takes `private_server`."""
    return databases.server


@pytest.fixture
async def private_server() -> AsyncIterator[Server]:
    """An embedded server for this test alone, which it may stop, kill and start, with the three roles."""
    with embedded_server() as server:
        await host.create_roles(server.admin_dsn)
        yield server


@pytest.fixture
async def private_database(private_server: Server) -> AsyncIterator[Database]:
    """A migrated database on the server that this test may stop, kill and start."""
    databases = Databases(private_server)
    async with databases.clone(migrated=True) as database:
        yield database


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[Database]:
    """A database with the host schema, without rows, migrated to head."""
    async with databases.clone(migrated=True) as database:
        yield database


@pytest.fixture
async def host_database(databases: Databases) -> AsyncIterator[Database]:
    """A database with the host schema, without rows, that changefeed has never seen."""
    async with databases.clone(migrated=False) as database:
        yield database


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database` as the superuser."""
    connection = await asyncpg.connect(database.admin_dsn)
    yield connection
    connection.terminate()


@pytest.fixture
async def app(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database` as the application."""
    connection = await asyncpg.connect(database.app_dsn)
    yield connection
    connection.terminate()


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database` as changefeed."""
    connection = await asyncpg.connect(database.feed_dsn)
    yield connection
    connection.terminate()
