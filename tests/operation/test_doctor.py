"""`changefeed doctor`: each fault is made for real, and named with what mends it."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from changefeed.commands import Diagnosis, diagnosis_of
from changefeed.commands.doctor import Finding
from changefeed.commands.doctor.diagnosis import CHECKS, Check
from changefeed.commands.doctor.finding import Patient
from changefeed.feed import Feed
from changefeed.settings import Settings
from demo import host
from demo.postgres import Postgres
from tests.operation.pooler import pooled
from tests.support.database import Database, Databases
from tests.support.issuer import SECRET, jwk, private_key, provider
from tests.support.server import Server
from tests.support.service import LONGEST, PAUSE, Process, environment
from tests.support.site import Site

BY_NAME = {check.__name__: check for check in CHECKS}


async def found(database: Database, *names: str, patience: float = 300.0, **settings: Any) -> Diagnosis:
    """What these checks find, or all of them."""
    checks: Sequence[Check] = [BY_NAME[name] for name in names] or CHECKS
    given = {"dsn": database.feed_dsn, "jwt_secret": SECRET} | settings
    return await diagnosis_of(Settings(**given), patience=patience, checks=checks)


def the(diagnosis: Diagnosis, name: str) -> Finding:
    """The one finding of this name."""
    mine = [finding for finding in diagnosis.findings if finding.name == name]
    assert len(mine) == 1, diagnosis.as_text()
    assert (mine[0].remedy is None) == (mine[0].level == "ok")
    return mine[0]


async def until(connection: asyncpg.Connection, statement: str) -> None:
    """Waits until the database says yes."""
    async with asyncio.timeout(LONGEST):
        while True:
            if await connection.fetchval(statement):
                return
            await asyncio.sleep(PAUSE)


async def connected(dsn: str) -> asyncpg.Connection:
    """Waits until the server lets somebody in."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await asyncpg.connect(dsn)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(PAUSE)


@pytest.fixture
async def leading(database: Database) -> AsyncIterator[Feed]:
    """A relay that leads."""
    async with Feed(Settings(dsn=database.feed_dsn)) as feed:
        await feed.pulse.until(lambda: feed.pulse.leading)
        yield feed


# --- All is well -----------------------------------------------------------------------------------------------------------


async def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(
    database: Database, leading: Feed, feed: asyncpg.Connection
) -> None:
    tables = (
        "select array_agg(relname::text order by relname) from pg_class where relnamespace = 'changefeed'::regnamespace"
    )
    functions = "select count(*) from pg_proc where pronamespace = 'changefeed'::regnamespace"
    before = [await feed.fetchval(tables), await feed.fetchval(functions)]
    watches = leading.pulse.watches
    diagnosis = await found(database)
    assert {finding.level for finding in diagnosis.findings} == {"ok"}, diagnosis.as_text()
    assert diagnosis.healthy
    assert "at its owner and nobody else" in the(diagnosis, "canary").sentence
    assert "others that follow the log: 1; all" in the(diagnosis, "processes").sentence
    assert [await feed.fetchval(tables), await feed.fetchval(functions)] == before
    assert await feed.fetchval("select count(*) from changefeed.event") == 0
    assert await feed.fetchval("select count(*) from changefeed.watch where source like 'changefeed.%'") == 0
    # Nobody's topics, and so nobody's statistics, have changed on its account.
    assert await leading.relay.look_anew(LONGEST)
    assert leading.pulse.watches is watches or leading.pulse.watches == watches


async def test_two_doctors_do_not_disturb_each_other(database: Database, leading: Feed) -> None:
    assert leading.pulse.leading
    both = await asyncio.gather(found(database), found(database))
    for diagnosis in both:
        assert diagnosis.healthy, diagnosis.as_text()
        assert the(diagnosis, "canary").level == "ok"


async def test_what_a_killed_doctor_has_left_behind_the_next_one_removes(
    database: Database, feed: asyncpg.Connection
) -> None:
    await feed.execute("create table changefeed.canary_999999 (id int primary key, owner text)")
    await feed.execute("select changefeed.watch('changefeed.canary_999999', 'owner')")
    assert the(await found(database, "flown"), "canary").level == "ok"
    assert await feed.fetchval("select to_regclass('changefeed.canary_999999')") is None
    assert await feed.fetchval("select count(*) from changefeed.watch where source like 'changefeed.%'") == 0


@pytest.mark.parametrize(("level", "code"), [("ok", 0), ("problem", 1)])
async def test_the_command_answers_for_people_and_programs_with_its_exit_code(own: Site, level: str, code: int) -> None:
    await own.start()
    if level == "problem":
        await own.app.execute('alter table agent_task disable trigger "!changefeed_update"')
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "changefeed", "doctor", *options]
        process = Process(command, environment(dsn=own.services.dsn, jwt_secret=SECRET))
        own.stack.callback(process.kill)
        assert await process.ended() == code, process.log
        if options:
            answer = json.loads(process.log)
            assert answer["healthy"] == (code == 0)
            levels = {finding["name"]: finding["level"] for finding in answer["findings"]}
            assert levels["table public.agent_task"] == level
            assert levels["canary"] == "ok"
        else:
            assert process.log.rstrip().endswith(f"{code} problems, 0 warnings")
            assert ("select changefeed.resume('public.agent_task')" in process.log) == (code == 1)


async def test_a_check_that_cannot_be_made_stops_no_other(database: Database) -> None:
    async def broken(_: Patient) -> Sequence[Finding]:
        raise ConnectionResetError("it went away")

    settings = Settings(dsn=database.feed_dsn)
    diagnosis = await diagnosis_of(settings, checks=[broken, BY_NAME["clock"]])
    assert diagnosis.healthy
    assert the(diagnosis, "broken").sentence == "this could not be checked: it went away"
    assert the(diagnosis, "clock").level == "ok"


# --- The server and the installation ---------------------------------------------------------------------------------------


async def test_without_a_database_it_says_where_to_look() -> None:
    for settings in (Settings(), Settings(dsn="postgresql://nobody@127.0.0.1:1/none")):
        diagnosis = await diagnosis_of(settings)
        assert not diagnosis.healthy
        assert "DATABASE_URL" in str(the(diagnosis, "connection").remedy)


async def test_a_database_without_the_schema_is_to_be_migrated(host_database: Database) -> None:
    diagnosis = await found(host_database)
    assert (the(diagnosis, "schema").level, the(diagnosis, "schema").remedy) == ("problem", "changefeed migrate")


@pytest.mark.parametrize(
    ("revision", "remedy"),
    [("0001", "changefeed migrate"), ("9999", "use the release that has installed it, or a later one")],
)
async def test_another_revision_than_this_releases_is_named(
    database: Database, feed: asyncpg.Connection, revision: str, remedy: str
) -> None:
    await feed.execute("update changefeed.alembic_version set version_num = $1", revision)
    finding = the(await found(database), "schema")
    assert (finding.level, finding.remedy) == ("problem", remedy)
    assert revision in finding.sentence


async def test_a_standby_is_refused_with_the_reason(private_server: Server, private_database: Database) -> None:
    postgres = private_server.postgres
    assert postgres is not None
    await asyncio.to_thread(postgres.stop)
    (postgres._folder / "data" / "standby.signal").touch()
    # It counts as started when it accepts writes, which takes a promotion.
    starting = asyncio.create_task(asyncio.to_thread(postgres.start))
    standby = await connected(private_database.admin_dsn)
    diagnosis = await found(private_database)
    assert the(diagnosis, "server").sentence.startswith("this is a standby")
    assert "the primary's address" in str(the(diagnosis, "server").remedy)
    await standby.execute("select pg_promote()")
    await starting
    await standby.close()
    assert the(await found(private_database, "clock"), "server").level == "ok"


@pytest.mark.parametrize(("offset", "direction"), [(90.0, "ahead of"), (-90.0, "behind")])
async def test_clocks_that_differ_are_measured(database: Database, offset: float, direction: str) -> None:
    settings = Settings(dsn=database.feed_dsn)
    diagnosis = await diagnosis_of(settings, clock=lambda: time.time() + offset, checks=[BY_NAME["clock"]])
    finding = the(diagnosis, "clock")
    assert finding.level == "warning"
    assert f"90.0 s {direction} the database's" in finding.sentence
    assert diagnosis.healthy


@pytest.mark.parametrize(("left", "level"), [(1, "problem"), (5, "warning"), (50, "ok")])
async def test_too_few_connections_left_are_counted(
    database: Database, admin: asyncpg.Connection, left: int, level: str
) -> None:
    # The admin's and doctor's own are there.
    await admin.execute(f'alter database "{database.name}" connection limit {2 + left}')
    finding = the(await found(database, "connections"), "connections")
    assert finding.level == level
    if level != "ok":
        assert f"{left} more connections are allowed by the connection limit of this database" in finding.sentence


# --- Capture ---------------------------------------------------------------------------------------------------------------

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


# --- The relay -------------------------------------------------------------------------------------------------------------


async def test_without_a_leader_it_says_how_to_get_one(database: Database) -> None:
    finding = the(await found(database, "leader"), "leader")
    assert finding.level == "problem"
    assert "changefeed relay" in str(finding.remedy)


async def test_a_frozen_leader_is_named_with_its_session(own: Site) -> None:
    process = await own.start()
    process.send_signal(signal.SIGSTOP)
    try:
        frozen = "select clock_timestamp() - state_change > interval '1.5 s' from pg_stat_activity"
        await until(
            own.feed, f"{frozen} where application_name = 'changefeed listener' and datname = current_database()"
        )
        diagnosis = await found(own.database, "leader", "flown", heartbeat_timeout=1.5)
        pid = await own.feed.fetchval(
            "select pid from pg_stat_activity where application_name = 'changefeed listener' and datname = current_database()"
        )
        finding = the(diagnosis, "leader")
        assert finding.level == "problem"
        assert f"select pg_terminate_backend({pid})" in str(finding.remedy)
        # It cannot say whether it has read the canary, and is named.
        assert f"database session {pid} did not say" in the(diagnosis, "processes").sentence
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("number", "level", "effect"),
    [
        (1, "warning", "cannot sleep"),
        (2, "problem", "no relay can lead"),
        (3, "warning", "does not ring"),
        (5, "warning", "cap"),
    ],
)
async def test_whoever_holds_our_locks_is_named_with_role_and_application(
    database: Database, feed: asyncpg.Connection, number: int, level: str, effect: str
) -> None:
    holder = await asyncpg.connect(database.app_dsn, server_settings={"application_name": "a nosy tool"})
    await holder.execute(f"select pg_advisory_lock(1667785319, {number})")
    finding = the(await found(database, "locks"), "locks")
    assert finding.level == level
    assert f"pid {holder.get_server_pid()} (app@{database.name}, a nosy tool" in finding.sentence
    assert effect in finding.sentence
    await feed.execute(str(finding.remedy).removeprefix("end it: ").partition(", and")[0])
    await until(
        feed, "select not exists (select from pg_locks where locktype = 'advisory' and classid = 1667785319::oid)"
    )
    assert the(await found(database, "locks"), "locks").level == "ok"
    holder.terminate()


async def test_writers_who_share_the_lock_while_they_write_are_no_finding(
    database: Database, leading: Feed, app: asyncpg.Connection
) -> None:
    assert leading.pulse.leading
    async with app.transaction():
        await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
        await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
        assert the(await found(database, "locks"), "locks").level == "ok"


async def test_capture_that_has_stopped_is_a_problem(database: Database, feed: asyncpg.Connection) -> None:
    await feed.execute("update changefeed.state set until = clock_timestamp() - interval '1 hour'")
    diagnosis = await found(database, "lease", "flown")
    assert "capture stopped 3600 s ago" in the(diagnosis, "capture").sentence
    assert "not captured" in the(diagnosis, "canary").sentence


async def test_a_pooler_in_the_way_is_recognised(database: Database) -> None:
    async with pooled(database.feed_dsn) as dsn:
        diagnosis = await found(database, "listen", "flown", dsn=dsn)
    finding = the(diagnosis, "listen")
    assert finding.level == "problem"
    assert "pooler" in finding.sentence
    assert "no relay can start" in the(diagnosis, "canary").sentence


async def test_a_bell_that_is_off_though_it_could_be_on_is_told(database: Database, feed: asyncpg.Connection) -> None:
    assert the(await found(database, "doorbell"), "doorbell").level == "ok"
    await feed.execute("select changefeed.configure(doorbell => false)")
    finding = the(await found(database, "doorbell"), "doorbell")
    assert finding.level == "warning"
    assert "CHANGEFEED_DOORBELL" in str(finding.remedy)


# --- What others do --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server_with(**settings: str) -> AsyncIterator[Database]:
    """A migrated database on a server of its own with these settings."""
    with Postgres(settings={"max_connections": "50", **settings}, durable=False) as postgres:
        server = Server("embedded", postgres.dsn("postgres"), postgres)
        await host.create_roles(server.admin_dsn)
        async with Databases(server).clone(migrated=True) as database:
            yield database


async def test_an_orphaned_prepared_transaction_and_a_bell_that_would_break_others_are_named() -> None:
    async with server_with(max_prepared_transactions="4") as database:
        app = await asyncpg.connect(database.app_dsn)
        await app.execute("begin; insert into app_user (email) values ('a'); prepare transaction 'forgotten one'")
        diagnosis = await found(database, "prepared", "doorbell", patience=0.0)
        finding = the(diagnosis, "prepared-transactions")
        assert finding.level == "problem"
        assert "'forgotten one' of app was prepared" in finding.sentence
        assert the(diagnosis, "doorbell").level == "warning"
        assert "PREPARE TRANSACTION fails" in the(diagnosis, "doorbell").sentence
        # Young ones are in order.
        assert the(await found(database, "prepared"), "prepared-transactions").level == "ok"
        await app.execute(str(finding.remedy).rpartition(", or ")[2])
        async with Feed(Settings(dsn=database.feed_dsn)) as feed:
            await feed.pulse.until(lambda: feed.pulse.leading)
            diagnosis = await found(database, "prepared", "doorbell", patience=0.0)
        assert the(diagnosis, "prepared-transactions").level == "ok"
        assert "off, because max_prepared_transactions is 4" in the(diagnosis, "doorbell").sentence
        await app.close()


async def test_a_queue_that_fills_is_told_with_who_holds_it_up() -> None:
    async with server_with(max_notify_queue_pages="64") as database:
        blocked = await asyncpg.connect(database.app_dsn, server_settings={"application_name": "sits and listens"})
        await blocked.execute("listen anything")
        await blocked.execute("begin; select 1")
        app = await asyncpg.connect(database.app_dsn)
        for part, level in ((0.2, "warning"), (0.6, "problem")):
            async with asyncio.timeout(LONGEST):
                while await app.fetchval("select pg_notification_queue_usage()") < part:
                    await app.execute(
                        "select pg_notify('anything', repeat('x', 7000) || n) from generate_series(1, 3) as n"
                    )
            finding = the(await found(database, "queue"), "notification-queue")
            assert finding.level == level
            assert f"pid {blocked.get_server_pid()} (app@{database.name}, sits and listens" in finding.sentence
        await blocked.execute("rollback")
        await app.execute("listen anything")
        await until(app, "select pg_notification_queue_usage() < 0.1")
        assert the(await found(database, "queue"), "notification-queue").level == "ok"
        for connection in (blocked, app):
            connection.terminate()


async def test_a_long_transaction_is_named(database: Database, app: asyncpg.Connection) -> None:
    async with app.transaction():
        await app.execute("select 1")
        finding = the(await found(database, "long_transactions", patience=0.0), "long-transactions")
        assert finding.level == "warning"
        assert f"pid {app.get_server_pid()} (app@{database.name}" in finding.sentence
    assert the(await found(database, "long_transactions", patience=0.0), "long-transactions").level == "ok"


async def test_a_writer_that_pins_a_leaf_is_named(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await feed.execute("select changefeed.configure(retention => '5 seconds')")
    transaction = app.transaction()
    await transaction.start()
    await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
    await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
    await until(
        feed,
        "select count(*) = 1 from changefeed.leaf l join pg_locks k on k.relation = l.relation::oid"
        " where k.mode = 'RowExclusiveLock'"
        "   and l.slot not in (changefeed.slot(), changefeed.slot(clock_timestamp() - interval '1 second'))",
    )
    finding = the(await found(database, "leaves"), "log")
    assert finding.level == "warning"
    assert f"pid {app.get_server_pid()} (app@{database.name}" in finding.sentence
    await transaction.rollback()
    assert the(await found(database, "leaves"), "log").level == "ok"


async def test_rows_that_should_be_gone_are_told(
    database: Database, app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await feed.execute("select changefeed.configure(retention => '1 second')")
    await app.execute("insert into workflow (owner_id, name) values (gen_random_uuid(), 'w')")
    await app.execute("insert into workflow_execution (workflow_id) select id from workflow")
    assert the(await found(database, "retention"), "retention").level == "ok"
    await until(feed, "select min(at) < clock_timestamp() - interval '2.1 s' from changefeed.event")
    assert the(await found(database, "retention"), "retention").level == "warning"


# --- Tokens ----------------------------------------------------------------------------------------------------------------


async def test_without_any_key_nobody_could_be_let_in(database: Database) -> None:
    finding = the(await found(database, "keys", jwt_secret=None), "tokens")
    assert finding.level == "warning"
    assert "CHANGEFEED_JWT_JWKS_URL" in str(finding.remedy)


async def test_a_key_that_cannot_be_read_is_a_problem(database: Database) -> None:
    key = "-----BEGIN PUBLIC KEY-----\nbm90aGluZw==\n-----END PUBLIC KEY-----"
    finding = the(await found(database, "keys", jwt_secret=None, jwt_public_key=key), "tokens")
    assert (finding.level, "cannot be read" in finding.sentence) == ("problem", True)


async def test_a_provider_is_asked_for_its_keys(database: Database) -> None:
    with provider() as issuer:
        options: dict[str, Any] = {"jwt_secret": None, "jwt_jwks_url": issuer.url}
        finding = the(await found(database, "keys", **options), "tokens")
        # The provider publishes none so far; and no audience is set.
        assert finding.level == "problem"
        issuer.keys = [jwk(private_key("ES256"), "1")]
        assert the(await found(database, "keys", **options), "tokens").level == "warning"
        assert the(await found(database, "keys", jwt_audience="us", **options), "tokens").level == "ok"
    finding = the(await found(database, "keys", **options), "tokens")
    assert finding.level == "problem"
    assert "no keys could be fetched from 127.0.0.1" in finding.sentence
