"""What the doctor says of watched tables: triggers, functions, owners, roles that no trigger sees."""

import asyncio

import asyncpg
import pytest

from tests.operation.diagnosis import found, the
from tests.support.database import Database
from tests.support.server import Server

TABLE = "table public.agent_task"


@pytest.mark.parametrize(
    ("fault", "level", "said", "remedy"),
    [
        (
            'drop trigger "!changefeed_insert" on agent_task',
            "problem",
            "1 of its 4 triggers are missing",
            "changefeed.watch(",
        ),
        (
            'alter table agent_task disable trigger "!changefeed_update"',
            "problem",
            "1 of its triggers are disabled",
            "changefeed.resume('public.agent_task')",
        ),
        (
            "alter table agent_task disable trigger all",
            "problem",
            "4 of its triggers are disabled",
            "changefeed.resume(",
        ),
        (
            "alter table agent_task drop column progress",
            "problem",
            "progress is watched, and was dropped",
            "changefeed.watch(",
        ),
        ("alter table agent_task rename column agent to helper", "problem", "agent is watched", "changefeed.watch("),
        (
            "alter table agent_task drop constraint agent_task_pkey; alter table agent_task add primary key (id, agent)",
            "problem",
            "its primary key was id when it was watched, and is id, agent",
            "changefeed.watch(",
        ),
        ("alter table agent_task rename to task", "warning", "it is called public.task now", "changefeed.watch("),
        ("drop table agent_task", "problem", "it is no more", "changefeed.unwatch("),
    ],
)
async def test_what_happened_to_a_watched_table_is_named_and_mended_by_the_remedy(
    database: Database,
    app: asyncpg.Connection,
    feed: asyncpg.Connection,
    fault: str,
    level: str,
    said: str,
    remedy: str,
) -> None:
    assert the(await found(database, "watched_tables"), TABLE).level == "ok"
    superuser = await asyncpg.connect(database.admin_dsn) if "disable trigger all" in fault else None
    await (superuser or app).execute(fault)
    if superuser is not None:
        await superuser.close()
    finding = the(await found(database, "watched_tables"), TABLE)
    assert finding.level == level
    assert said in finding.sentence
    assert remedy in str(finding.remedy)
    # What it says is what to do.
    statement = "select changefeed." + str(finding.remedy).partition("select changefeed.")[2]
    await feed.execute(statement.removesuffix(", which also tells clients to refetch").partition(", and watch")[0])
    diagnosis = await found(database, "watched_tables")
    assert diagnosis.healthy, diagnosis.as_text()


@pytest.mark.parametrize("columns", [["status", "o'clock"], ["status"]])
async def test_watching_again_as_it_says_keeps_everything_as_it_was_watched(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection, columns: list[str]
) -> None:
    await app.execute("""alter table agent_task add column "o'clock" text""")
    await feed.execute(
        "select changefeed.watch('agent_task', $1, $2, 'o''x', 7, true)",
        "coalesce(r.user_id::text, 'no''body')",
        columns,
    )
    kept = "select owner, columns, owner_kind, bulk_rows, fail_closed from changefeed.watch where source = $1"
    before = await feed.fetchrow(kept, "public.agent_task")
    await feed.execute("update changefeed.watch set version = 99 where source = 'public.agent_task'")
    remedy = str(the(await found(database, "watched_tables"), TABLE).remedy)
    await feed.execute("select changefeed." + remedy.partition("select changefeed.")[2])
    assert await feed.fetchrow(kept, "public.agent_task") == before
    assert the(await found(database, "watched_tables"), TABLE).level == "ok"


async def test_where_all_watched_columns_are_gone_the_remedy_can_still_be_run(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await feed.execute("select changefeed.watch('agent_task', 'user_id', array['status'])")
    await app.execute("alter table agent_task drop column status")
    remedy = str(the(await found(database, "watched_tables"), TABLE).remedy)
    await feed.execute("select changefeed." + remedy.partition("select changefeed.")[2])
    assert the(await found(database, "watched_tables"), TABLE).level == "ok"


async def test_a_pause_is_told_and_fails_nothing(database: Database, feed: asyncpg.Connection) -> None:
    await feed.execute("select changefeed.pause('agent_task')")
    diagnosis = await found(database, "watched_tables")
    assert the(diagnosis, TABLE).level == "warning"
    assert diagnosis.healthy


async def test_functions_of_another_version_and_functions_that_somebody_changed_are_named(
    database: Database, feed: asyncpg.Connection
) -> None:
    number = await feed.fetchval(
        "update changefeed.watch set version = 99 where source = 'public.agent_task' returning id"
    )
    finding = the(await found(database, "watched_tables"), TABLE)
    assert "are of version 99, and this release writes version 1" in finding.sentence
    await feed.execute("update changefeed.watch set version = 1")
    await feed.execute(
        f"create or replace function changefeed.capture_{number}() returns trigger language plpgsql as 'begin return null; end'"
    )
    finding = the(await found(database, "watched_tables"), TABLE)
    assert finding.level == "problem"
    assert f"capture_{number} is not what changefeed has written" in finding.sentence


async def test_a_new_watch_is_of_the_version_that_this_release_writes(database: Database) -> None:
    assert (await found(database, "watched_tables")).healthy


async def test_without_any_watched_table_nothing_is_captured(database: Database, feed: asyncpg.Connection) -> None:
    await feed.execute("select changefeed.unwatch(relation) from changefeed.watch")
    assert the(await found(database, "watched_tables"), "tables").level == "problem"


async def test_an_owner_expression_without_an_index_behind_it_is_named_with_the_table(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await app.execute(
        """
        create table folder (id int, owner text, padding text);
        insert into folder select n, 'u' || n, repeat('x', 200) from generate_series(1, 10000) as n;
        analyze folder;
        create table file (id int primary key, folder_id int);
        """
    )
    await feed.execute("select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)')")
    finding = the(await found(database, "owner_expressions"), "owner of public.file")
    assert finding.level == "warning"
    assert '"public"."folder" (2 MiB) from end to end' in finding.sentence
    await app.execute("create index on folder (id); analyze folder")
    assert the(await found(database, "owner_expressions"), "owner of public.file").level == "ok"


async def test_an_owner_expression_that_no_longer_runs_is_named(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await app.execute("create table thing (id int primary key)")
    await app.execute("create function owner_of(int) returns text language sql as 'select $1::text'")
    await feed.execute("select changefeed.watch('thing', 'owner_of(r.id)')")
    assert the(await found(database, "owner_expressions"), "owner of public.thing").level == "ok"
    await app.execute("drop function owner_of(int)")
    finding = the(await found(database, "owner_expressions"), "owner of public.thing")
    assert finding.level == "problem"
    assert "owner_of" in finding.sentence


@pytest.mark.parametrize(
    ("setting", "level"), [("session_replication_role = replica", "problem"), ("changefeed.skip = on", "warning")]
)
async def test_a_role_whose_writes_no_trigger_sees_is_named(
    database: Database, admin: asyncpg.Connection, feed: asyncpg.Connection, setting: str, level: str
) -> None:
    assert the(await found(database, "silent_roles"), "silent-roles").level == "ok"
    await admin.execute(f'alter role app in database "{database.name}" set {setting}')
    finding = the(await found(database, "silent_roles"), "silent-roles")
    assert finding.level == level
    assert finding.sentence.startswith("app in database")
    # It is true: what it writes is not captured.
    silent = await asyncpg.connect(database.app_dsn)
    await silent.execute("insert into connector_call (connector_id) select gen_random_uuid() where false")
    await silent.execute("insert into workflow (id, owner_id, name) values (gen_random_uuid(), gen_random_uuid(), 'w')")
    await silent.execute("insert into workflow_execution (workflow_id) select id from workflow")
    assert await feed.fetchval("select count(*) from changefeed.event") == 0
    await silent.close()
    await admin.execute(str(finding.remedy).partition(", unless")[0])
    assert the(await found(database, "silent_roles"), "silent-roles").level == "ok"


async def test_a_server_on_which_no_trigger_fires_is_named_beside_a_role_of_which_the_same_is_true(
    private_server: Server, private_database: Database
) -> None:
    admin = await asyncpg.connect(private_database.admin_dsn)
    await admin.execute("alter role app set session_replication_role = replica")
    await admin.execute("alter system set session_replication_role = replica")
    await admin.close()
    assert private_server.postgres is not None
    await asyncio.to_thread(private_server.postgres.stop)
    await asyncio.to_thread(private_server.postgres.start)
    said = [finding.sentence for finding in (await found(private_database, "silent_roles")).findings]
    assert any(sentence.startswith("app has session_replication_role") for sentence in said)
    assert any("for the whole server" in sentence for sentence in said)


async def test_a_canary_that_no_trigger_sees_says_so(database: Database, admin: asyncpg.Connection) -> None:
    await admin.execute(f'alter role changefeed in database "{database.name}" set session_replication_role = replica')
    finding = the(await found(database, "flown"), "canary")
    assert finding.level == "problem"
    assert "was written and not captured" in finding.sentence


async def test_failures_of_the_capture_are_told_by_table_with_the_last_message(
    database: Database, app: asyncpg.Connection
) -> None:
    await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
    await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
    await app.execute("alter table workflow_execution drop column progress")
    for _ in range(2):
        await app.execute("update workflow_execution set status = 'running' where status <> 'running' or true")
    finding = the(await found(database, "capture_errors"), "capture-errors")
    assert finding.level == "problem"
    assert "the capture of public.workflow_execution has failed" in finding.sentence
    assert 'record "new" has no field "progress"' in finding.sentence
