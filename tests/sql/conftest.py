"""Fixtures of the capture's tests: the log, the bell, a second writer, and a plain table that is watched."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.sql.vocabulary import Bell, Log
from tests.support.database import Database


@pytest.fixture
def log(feed: asyncpg.Connection) -> Log:
    """The event log."""
    return Log(feed)


@pytest.fixture
async def bell(database: Database) -> AsyncIterator[Bell]:
    """Somebody who listens as the relay does."""
    connection = await asyncpg.connect(database.feed_dsn)
    bell = Bell(connection)
    await bell.listen()
    yield bell
    connection.terminate()


@pytest.fixture
async def other_app(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A second connection of the application's."""
    connection = await asyncpg.connect(database.app_dsn)
    yield connection
    connection.terminate()


@pytest.fixture
async def item(app: asyncpg.Connection, feed: asyncpg.Connection) -> str:
    """A watched table whose rows say whose they are."""
    await app.execute("create table item (id int primary key, owner text, name text, n int, note jsonb)")
    return str(await feed.fetchval("select changefeed.watch('item', 'owner')"))


@pytest.fixture
async def tree(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    """A folder (the owner's) <- file (watched) <- line (watched through both)."""
    await app.execute(
        """
        create table folder (id int primary key, owner text, name text);
        create table file (id int primary key, folder_id int references folder on update cascade on delete cascade,
                           name text);
        create table line (id int primary key, file_id int references file on delete cascade, text text);
        """
    )
    await feed.execute("select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)')")
    await feed.execute(
        "select changefeed.watch('line', '(select f.owner from file x join folder f on f.id = x.folder_id"
        " where x.id = r.file_id)')"
    )


@pytest.fixture
async def full(app: asyncpg.Connection, tree: None, log: Log) -> None:  # noqa: ARG001
    """Two folders of different owners, a file in each, a line in each file; nothing unread in the log."""
    await app.execute(
        """
        insert into folder values (1, 'anne', 'a'), (2, 'bert', 'b');
        insert into file values (10, 1), (20, 2);
        insert into line values (100, 10), (200, 20);
        """
    )
    await log.new()
