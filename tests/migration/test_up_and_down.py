"""alembic upgrade, downgrade and --sql, as a role without power, beside an application that uses Alembic itself."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from changefeed.sql import schema_files
from tests.migration.catalog import catalog, rows
from tests.migration.operator import alembic
from tests.support.database import Database, MigrationError


@pytest.fixture
async def look(host_database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a database that changefeed has never seen."""
    connection = await asyncpg.connect(host_database.admin_dsn)
    yield connection
    connection.terminate()


async def revision(connection: asyncpg.Connection) -> str | None:
    value: str | None = await connection.fetchval("select version_num from changefeed.alembic_version")
    return value


async def execute(dsn: str, script: str) -> None:
    """Run a script as `psql --file` would: statement by statement as they stand, with their own begin and commit."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def test_up_and_down_again_leaves_no_trace(host_database: Database, look: asyncpg.Connection) -> None:
    before = await catalog(look)
    await alembic(host_database.feed_dsn, "upgrade", "head")
    assert await revision(look) == "0003"
    assert await catalog(look) != before
    await alembic(host_database.feed_dsn, "downgrade", "base")
    assert await catalog(look) == before


async def test_up_and_down_one_by_one_and_up_again_comes_to_the_same(
    host_database: Database, look: asyncpg.Connection
) -> None:
    installed = []
    for number in ("0001", "0002", "0003"):
        await alembic(host_database.feed_dsn, "upgrade", "+1")
        assert await revision(look) == number
        installed.append(await catalog(look))
    for number, expected in (("0002", installed[1]), ("0001", installed[0])):
        await alembic(host_database.feed_dsn, "downgrade", "-1")
        assert await revision(look) == number
        assert await catalog(look) == expected
    await alembic(host_database.feed_dsn, "downgrade", "-1")
    await alembic(host_database.feed_dsn, "upgrade", "head")
    assert await catalog(look) == installed[2]


async def test_down_takes_along_what_was_watched_by_hand_and_what_was_written(
    host_database: Database, look: asyncpg.Connection
) -> None:
    app = await asyncpg.connect(host_database.app_dsn)
    feed = await asyncpg.connect(host_database.feed_dsn)
    await app.execute(
        """
        create table part (id int primary key, owner_id int) partition by range (id);
        create table part_1 partition of part for values from (0) to (10);
        create table gone (id int primary key);
        """
    )
    before = [line for line in await catalog(look) if "gone" not in line]
    await alembic(host_database.feed_dsn, "upgrade", "head")
    await feed.execute("select changefeed.watch('part', '(select p.id from part p where p.id = r.owner_id)')")
    await feed.execute("select changefeed.watch('gone', 'id')")
    await app.execute("insert into part values (1, 1); drop table gone; alter table part detach partition part_1")
    await feed.close()
    await app.execute("drop table part_1; create table part_1 partition of part for values from (0) to (10)")
    await app.close()
    await alembic(host_database.feed_dsn, "downgrade", "base")
    assert await catalog(look) == before


async def test_the_applications_own_alembic_is_left_alone(host_database: Database, look: asyncpg.Connection) -> None:
    app = await asyncpg.connect(host_database.app_dsn)
    await app.execute(
        "create table public.alembic_version (version_num varchar(32) primary key);"
        "insert into public.alembic_version values ('abc123')"
    )
    await app.close()
    await alembic(host_database.feed_dsn, "upgrade", "head")
    assert await revision(look) == "0003"
    assert await look.fetchval("select version_num from public.alembic_version") == "abc123"
    await alembic(host_database.feed_dsn, "downgrade", "base")
    assert await look.fetchval("select version_num from public.alembic_version") == "abc123"


async def test_the_migrations_come_to_the_schema_in_changefeed_sql(
    host_database: Database, look: asyncpg.Connection
) -> None:
    await execute(
        host_database.feed_dsn,
        "begin;" + "\n".join(path.read_text(encoding="utf-8") for path in schema_files()) + "commit;",
    )
    written = (await catalog(look), await rows(look))
    await look.execute("set client_min_messages = warning; drop schema changefeed cascade")
    await alembic(host_database.feed_dsn, "upgrade", "0001")
    await look.execute("drop table changefeed.alembic_version")
    assert (await catalog(look), await rows(look)) == written


async def test_the_sql_for_review_comes_to_the_same_as_the_upgrade(
    host_database: Database, look: asyncpg.Connection
) -> None:
    before = await catalog(look)
    script = await alembic(host_database.feed_dsn, "upgrade", "head", sql=True)
    assert await catalog(look) == before, "it only prints"
    await alembic(host_database.feed_dsn, "upgrade", "head")
    installed = (await catalog(look), await rows(look))
    await alembic(host_database.feed_dsn, "downgrade", "base")
    await execute(host_database.feed_dsn, script)
    assert (await catalog(look), await rows(look)) == installed
    assert await revision(look) == "0003"
    down = await alembic(host_database.feed_dsn, "downgrade", "0003:base", sql=True)
    await execute(host_database.feed_dsn, down)
    assert await catalog(look) == before


async def test_the_sql_for_review_needs_no_database(host_database: Database) -> None:
    nowhere = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
    assert "create table changefeed.event (" in await alembic(nowhere, "upgrade", "head", sql=True)
    step = await alembic(nowhere, "upgrade", "0001:0002", sql=True)
    assert "workflow_execution" in step
    assert "create table changefeed.event (" not in step
    back = await alembic(nowhere, "downgrade", "0003:0002", sql=True)
    assert "connector_call" in back
    assert "drop schema" not in back.lower()
    assert host_database.name


async def test_a_role_that_may_not_create_schemas_needs_one_to_be_made_for_it(
    host_database: Database, look: asyncpg.Connection
) -> None:
    """A careful administrator makes the schema himself and gives no right to make more."""
    await look.execute(f'revoke create on database "{host_database.name}" from changefeed')
    with pytest.raises(MigrationError, match="permission denied for database"):
        await alembic(host_database.feed_dsn, "upgrade", "head")
    await look.execute("create schema changefeed authorization changefeed")
    await alembic(host_database.feed_dsn, "upgrade", "head")
    assert await revision(look) == "0003"
