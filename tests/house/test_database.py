"""The databases of the tests: each test has its own, migrated, empty, and gone afterwards."""

import asyncpg
import pytest

from tests.support.database import Database, Databases


async def test_a_database_is_migrated_and_empty_and_each_role_gets_in(
    database: Database, admin: asyncpg.Connection, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    assert [await c.fetchval("select current_user") for c in (admin, app, feed)] == [
        "postgres",
        "app",
        "changefeed",
    ]
    assert await admin.fetchval("select to_regclass('changefeed.event')::text") == "changefeed.event"
    assert await app.fetchval("select count(*) from workflow") == 0
    assert database.server_version == await admin.fetchval("select current_setting('server_version_num')::int")


async def test_a_host_database_has_never_seen_changefeed(host_database: Database) -> None:
    connection = await asyncpg.connect(host_database.feed_dsn)
    try:
        assert not await connection.fetchval("select true from pg_namespace where nspname = 'changefeed'")
        assert await connection.fetchval("select to_regclass('workflow_execution') is not null")
    finally:
        await connection.close()


async def test_two_databases_are_strangers_and_both_go_even_while_in_use(databases: Databases) -> None:
    async with databases.clone(migrated=False) as one, databases.clone(migrated=False) as other:
        writer = await asyncpg.connect(one.app_dsn)
        await writer.execute("insert into app_user (email) values ('somebody@example.com')")
        reader = await asyncpg.connect(other.app_dsn)
        assert await reader.fetchval("select count(*) from app_user") == 0
        await reader.close()
    writer.terminate()
    for gone in (one, other):
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(gone.admin_dsn)
