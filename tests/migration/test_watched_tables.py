"""Revisions 0002 and 0003: they watch what is there, and say clearly what they skipped, why, and what to do."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.migration.operator import alembic
from tests.support.database import Database, MigrationError

TABLES = ["public.agent_task", "public.connector_call", "public.workflow_execution"]
EXPRESSION = "(select w.owner_id from workflow w where w.id = r.workflow_id)"


@pytest.fixture
async def app(host_database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The application, before changefeed comes."""
    connection = await asyncpg.connect(host_database.app_dsn)
    yield connection
    connection.terminate()


async def watched(database: Database) -> dict[str, str]:
    """The watched tables and their owners."""
    connection = await asyncpg.connect(database.feed_dsn)
    try:
        return {
            row["source"]: row["owner"] for row in await connection.fetch("select source, owner from changefeed.watch")
        }
    finally:
        await connection.close()


async def upgraded(database: Database) -> str:
    return await alembic(database.feed_dsn, "upgrade", "head")


async def test_the_dashboards_tables_are_watched_and_it_is_said(host_database: Database) -> None:
    said = await upgraded(host_database)
    assert f"changefeed: workflow_execution is watched, owner: {EXPRESSION}" in said
    assert "changefeed: agent_task is watched, owner: user_id" in said
    assert "changefeed: connector_call is watched, owner: user_id" in said
    assert await watched(host_database) == {
        "public.workflow_execution": EXPRESSION,
        "public.agent_task": "user_id",
        "public.connector_call": "user_id",
    }


async def test_a_database_without_them_is_told_how_to_name_its_own(
    host_database: Database, app: asyncpg.Connection
) -> None:
    await app.execute("drop table connector_call, agent_task, workflow_execution, workflow")
    said = await upgraded(host_database)
    for table in ("workflow_execution", "agent_task", "connector_call"):
        assert f'changefeed: {table} is not watched: there is no such table in "$user", public.' in said
    assert "select changefeed.watch('name', 'owner');" in said
    assert await watched(host_database) == {}


async def test_tables_of_another_shape_keep_nothing_from_being_installed(
    host_database: Database, app: asyncpg.Connection
) -> None:
    await app.execute("alter table workflow rename column owner_id to tenant_id")
    await app.execute("alter table agent_task drop constraint agent_task_pkey")
    said = await upgraded(host_database)
    assert "workflow_execution is NOT watched" in said
    assert "column w.owner_id does not exist" in said
    assert f"When that is done: select changefeed.watch('workflow_execution', '{EXPRESSION}');" in said
    assert "agent_task is NOT watched" in said
    assert "has no primary key. Add one: alter table public.agent_task add primary key" in said
    assert await watched(host_database) == {"public.connector_call": "user_id"}


async def test_tables_of_somebody_elses_are_skipped_with_the_remedy(host_database: Database) -> None:
    admin = await asyncpg.connect(host_database.admin_dsn)
    await admin.execute("alter table workflow owner to postgres; alter table connector_call owner to postgres")
    await admin.execute("grant select on workflow to changefeed")
    await admin.close()
    said = await upgraded(host_database)
    assert "its owner expression reads public.workflow: changefeed does not own public.workflow" in said
    assert "grant postgres to changefeed" in said
    assert "connector_call is NOT watched: changefeed cannot watch public.connector_call" in said
    assert await watched(host_database) == {"public.agent_task": "user_id"}


async def test_a_table_in_use_stops_the_upgrade_and_nothing_was_changed(
    host_database: Database, app: asyncpg.Connection
) -> None:
    """Skipped for such a reason, it would stay unwatched: nobody runs a revision twice."""
    async with app.transaction():
        await app.execute("lock table agent_task in row exclusive mode")
        with pytest.raises(MigrationError, match="agent_task could not be watched: others were using it") as failure:
            await upgraded(host_database)
    assert "Run it again" in str(failure.value)
    assert not await app.fetchval("select exists (select from pg_namespace where nspname = 'changefeed')")
    await upgraded(host_database)
    assert sorted(await watched(host_database)) == TABLES


async def test_tables_are_found_by_the_search_path(host_database: Database, app: asyncpg.Connection) -> None:
    admin = await asyncpg.connect(host_database.admin_dsn)
    await admin.execute("create schema platform authorization app")
    for table in ("workflow", "workflow_execution", "agent_task", "connector_call"):
        await admin.execute(f"alter table {table} set schema platform")
    await admin.execute(f'alter role changefeed in database "{host_database.name}" set search_path = platform')
    await admin.close()
    await upgraded(host_database)
    assert sorted(await watched(host_database)) == [table.replace("public", "platform") for table in TABLES]
    await app.execute(
        "insert into platform.workflow (id, owner_id, name) select gen_random_uuid(), gen_random_uuid(), 'x'"
    )
    await app.execute("insert into platform.workflow_execution (workflow_id) select id from platform.workflow")
    feed = await asyncpg.connect(host_database.feed_dsn)
    assert await feed.fetchval("select owner from changefeed.event") == str(
        await app.fetchval("select owner_id from platform.workflow")
    )
    await feed.close()


async def test_down_from_the_two_revisions_unwatches_what_is_there(
    host_database: Database, app: asyncpg.Connection
) -> None:
    await upgraded(host_database)
    await app.execute("drop table connector_call")
    await alembic(host_database.feed_dsn, "downgrade", "0002")
    assert sorted(await watched(host_database)) == TABLES  # of a table that was dropped only the name is left
    await alembic(host_database.feed_dsn, "downgrade", "0001")
    assert sorted(await watched(host_database)) == ["public.connector_call"]
    await alembic(host_database.feed_dsn, "downgrade", "base")
    assert not await app.fetchval("select exists (select from pg_namespace where nspname = 'changefeed')")
