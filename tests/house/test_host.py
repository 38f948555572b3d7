"""The host application: a schema, roles without power, a simulator that leaves one execution alone."""

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest

from demo import host
from demo.psql import run
from demo.simulator import Simulator, simulate
from tests.support.database import Database
from tests.support.server import Server

STEPS = 600


@pytest.fixture
async def seeded(host_database: Database) -> AsyncIterator[asyncpg.Connection]:
    await host.seed(host_database.app_dsn)
    connection = await asyncpg.connect(host_database.app_dsn)
    yield connection
    connection.terminate()


async def a_persons_rows(connection: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    return [
        await connection.fetch("select * from workflow where id = $1", host.WORKFLOW),
        await connection.fetch("select * from workflow_execution where workflow_id = $1 order by id", host.WORKFLOW),
        await connection.fetch("select * from agent_task where execution_id = $1 order by id", host.EXECUTION),
    ]


async def test_the_seed_has_the_people_and_the_execution_that_others_rely_on(
    seeded: asyncpg.Connection,
) -> None:
    people = await seeded.fetch("select id, role from app_user order by id")
    assert [tuple(row) for row in people] == [
        (host.USER1, "user"),
        (host.USER2, "user"),
        (host.ADMIN, "admin"),
    ]
    execution = await seeded.fetchrow(
        """
        select workflow_execution.status, workflow.owner_id, workflow.id
        from workflow_execution join workflow on workflow.id = workflow_id
        where workflow_execution.id = $1
        """,
        host.EXECUTION,
    )
    assert execution is not None
    assert tuple(execution) == ("running", host.USER1, host.WORKFLOW)


async def test_the_seed_shows_every_status_to_both_users(seeded: asyncpg.Connection) -> None:
    statuses = await seeded.fetch(
        """
        select owner_id, array_agg(distinct status order by status) as statuses
        from workflow_execution join workflow on workflow.id = workflow_id
        group by owner_id order by owner_id
        """
    )
    every = ["cancelled", "completed", "failed", "paused", "pending", "running"]
    assert [tuple(row) for row in statuses] == [(host.USER1, every), (host.USER2, every)]


async def test_an_unknown_status_is_refused(seeded: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await seeded.execute("update workflow_execution set status = 'lost' where id = $1", host.EXECUTION)


async def test_the_two_roles_have_no_power_beyond_their_database(host_database: Database) -> None:
    for dsn in (host_database.app_dsn, host_database.feed_dsn):
        connection = await asyncpg.connect(dsn)
        try:
            for forbidden in ("create role mallory", "create database more", "create extension file_fdw"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(forbidden)
            rights = await connection.fetchrow(
                "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
                "from pg_roles where rolname = current_user"
            )
            assert rights is not None
            assert not any(rights.values())
        finally:
            await connection.close()


async def test_changefeed_may_make_a_schema_and_act_as_the_owner_and_the_application_may_not(
    host_database: Database,
) -> None:
    feed = await asyncpg.connect(host_database.feed_dsn)
    app = await asyncpg.connect(host_database.app_dsn)
    try:
        await feed.execute("create schema changefeed")
        assert await feed.fetchval(
            "select pg_has_role(tableowner, 'usage') from pg_tables where tablename = 'workflow'"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("create schema mine")
    finally:
        await feed.close()
        await app.close()


async def test_the_roles_passwords_do_not_give_the_superusers_away(host_database: Database) -> None:
    password = host.role_password(host_database.admin_dsn, host.APP_ROLE)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host_database.admin_dsn, password=password)


async def test_the_simulator_changes_everything_but_a_persons_rows(seeded: asyncpg.Connection) -> None:
    untouched = await a_persons_rows(seeded)
    others = "select count(*) filter (where status = 'completed'), sum(progress) from workflow_execution"
    before = await seeded.fetchrow(others)
    simulator = Simulator(seeded, random.Random(7))
    for _ in range(STEPS):
        await simulator.step()
    assert await a_persons_rows(seeded) == untouched
    assert await seeded.fetchrow(others) != before
    assert await seeded.fetchval("select count(*) from agent_task where updated_at > created_at") > 0


async def test_the_simulator_spares_the_execution_even_when_a_person_has_moved_it(
    seeded: asyncpg.Connection,
) -> None:
    await seeded.execute(
        """
        update workflow_execution
        set workflow_id = (select id from workflow where owner_id = $2 limit 1)
        where id = $1
        """,
        host.EXECUTION,
        host.USER2,
    )
    untouched = await seeded.fetchrow("select * from workflow_execution where id = $1", host.EXECUTION)
    simulator = Simulator(seeded, random.Random(11))
    for _ in range(STEPS):
        await simulator.step()
    assert await seeded.fetchrow("select * from workflow_execution where id = $1", host.EXECUTION) == untouched


async def test_what_is_old_is_deleted_so_that_the_tables_stay_small(seeded: asyncpg.Connection) -> None:
    await seeded.execute(
        """
        insert into workflow_execution (workflow_id, status, completed_at) select id, 'completed', now() -
        make_interval(days => n) from workflow, generate_series(1, 200) as n
        """
    )
    await seeded.execute(
        """
        insert into connector_call (connector_id)
        select id from connector cross join generate_series(1, 1000)
        """
    )
    await Simulator(seeded, random.Random(3)).prune()
    kept = await seeded.fetchval(
        "select count(*) from workflow_execution where status = 'completed' and workflow_id <> $1",
        host.WORKFLOW,
    )
    assert 0 < kept <= 300
    assert await seeded.fetchval("select count(*) from connector_call") <= 2000


async def test_the_simulator_outlives_a_restart_of_the_database(private_server: Server) -> None:
    assert private_server.postgres is not None
    dsns = await host.create_database(private_server.admin_dsn, "platform")
    await host.install_schema(dsns.app_dsn)
    await host.seed(dsns.app_dsn)
    simulating = asyncio.ensure_future(simulate(dsns.app_dsn, 1000.0, random.Random(5)))
    try:
        await until_it_writes(dsns.app_dsn)
        await asyncio.to_thread(private_server.postgres.kill)
        await asyncio.to_thread(private_server.postgres.start)
        await until_it_writes(dsns.app_dsn)
        assert not simulating.done()
    finally:
        simulating.cancel()
        await asyncio.gather(simulating, return_exceptions=True)


async def until_it_writes(dsn: str) -> None:
    """Waits until the simulator has made a connector call, which the database itself tells."""
    heard = asyncio.Event()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            create or replace function tell() returns trigger language plpgsql as
                $$ begin notify called; return null; end $$;
            create or replace trigger tell after insert on connector_call execute function tell();
            """
        )
        await connection.add_listener("called", lambda *_: heard.set())
        await asyncio.wait_for(heard.wait(), 30)
    finally:
        await connection.close()


async def test_the_small_psql_prints_rows_and_says_what_happened(host_database: Database) -> None:
    assert await run(host_database.app_dsn, "select 1 as one, null as nothing") == [
        "one\tnothing",
        "1\t",
        "(1 row)",
    ]
    assert await run(
        host_database.app_dsn, "insert into workflow (owner_id, name) values (gen_random_uuid(), 'x')"
    ) == ["INSERT 0 1"]
    assert await run(host_database.app_dsn, "begin; delete from workflow; commit") == ["COMMIT"]
    with pytest.raises(asyncpg.UndefinedTableError):
        await run(host_database.app_dsn, "select * from nowhere")
