"""The application's role needs nothing, reads no events and forges none."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.sql.vocabulary import Log, connected
from tests.support.database import Database


@pytest.fixture
async def writer(
    admin: asyncpg.Connection, app: asyncpg.Connection, database: Database
) -> AsyncIterator[asyncpg.Connection]:
    """A role that may write to the application's tables, create things beside them, and nothing else."""
    role = f"writer_{database.name}"
    await admin.execute(f"create role {role} login password 'writer'; grant usage, create on schema public to {role}")
    await app.execute(
        f"grant all on all tables in schema public to {role}; alter default privileges grant all on tables to {role}"
    )
    user, _, address = database.admin_dsn.partition("@")
    async with connected(f"postgresql://{role}:writer@{address}") as connection:
        assert user
        yield connection
    await app.execute(f"alter default privileges revoke all on tables from {role}")
    await admin.execute(f"drop owned by {role} cascade; drop role {role}")


@pytest.mark.usefixtures("tree")
async def test_a_role_without_any_right_on_the_schema_writes_and_is_captured(
    writer: asyncpg.Connection, log: Log
) -> None:
    assert not await writer.fetchval("select has_schema_privilege('changefeed', 'usage')")
    await writer.execute("insert into folder values (1, 'anne'); insert into file values (10, 1)")
    await writer.execute("update folder set owner = 'bert'; update file set name = 'x'; truncate line")
    assert [event.op for event in await log.new("public.file")] == ["insert", "bulk", "bulk", "update"]


FORBIDDEN = [
    "select * from changefeed.event",
    "insert into changefeed.event (source, op, owner) values ('public.item', 'insert', 'anne')",
    "delete from changefeed.event_0",
    "update changefeed.state set until = now()",
    "select nextval('changefeed.event_seq')",
    "select changefeed.watch('item', 'owner')",
    "select changefeed.unwatch('item')",
    "select changefeed.pause('item')",
    "select changefeed.begin_epoch(true)",
    "select changefeed.rotate()",
    "select changefeed.extend()",
    "select changefeed.configure(doorbell => false)",
    "select changefeed.kick('anne')",
    "select changefeed.capture_1()",
    "create trigger forged after insert on own for each row execute function changefeed.capture_1()",
    "create table changefeed.mine (id int)",
    "drop function changefeed.capture_1() cascade",
    "create or replace function changefeed.capture_1() returns trigger language plpgsql as 'begin return null; end'",
]


async def test_everything_of_ours_is_closed_to_the_application_and_to_everybody_else(
    app: asyncpg.Connection, writer: asyncpg.Connection, item: str
) -> None:
    assert item == "public.item"
    for connection in (app, writer):
        await connection.execute("create temporary table own (id int)")
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_nothing_is_granted_to_everybody(admin: asyncpg.Connection, item: str) -> None:
    """Usage of the schema is not all that keeps others out. Types are of no use without it."""
    assert item == "public.item"
    granted = await admin.fetch(
        """
        select 'function ' || p.oid::regprocedure as name from pg_proc p
         where p.pronamespace = 'changefeed'::regnamespace and has_function_privilege('public', p.oid, 'execute')
        union all
        select 'table ' || c.oid::regclass from pg_class c
         where c.relnamespace = 'changefeed'::regnamespace and c.relkind in ('r', 'p', 'v')
           and has_table_privilege('public', c.oid, 'select, insert, update, delete, truncate, trigger')
        union all
        select 'sequence ' || c.oid::regclass from pg_class c
         where c.relnamespace = 'changefeed'::regnamespace and c.relkind = 'S'
           and case c.relkind when 'S' then has_sequence_privilege('public', c.oid, 'usage, select, update') end
        union all
        select 'schema ' || n.nspname from pg_namespace n
         where n.nspname = 'changefeed' and has_schema_privilege('public', n.oid, 'usage, create')
        """
    )
    assert [row["name"] for row in granted] == []


async def test_every_function_of_ours_runs_with_a_search_path_of_its_own(feed: asyncpg.Connection, tree: None) -> None:
    """But two: watch() hands the caller's on, slot() is inlined and names everything with its schema."""
    assert tree is None
    unpinned = await feed.fetch(
        """
        select p.proname from pg_proc p where p.pronamespace = 'changefeed'::regnamespace
           and not exists (select from unnest(p.proconfig) as c where c like 'search_path=pg_catalog%') order by 1
        """
    )
    assert [row["proname"] for row in unpinned] == ["slot", "watch"]
    triggers = await feed.fetch(
        "select proname, prosecdef, proconfig from pg_proc"
        " where pronamespace = 'changefeed'::regnamespace and proname ~ '^(capture|parent)_[0-9]'"
    )
    assert len(triggers) >= 7
    for function in triggers:
        assert function["prosecdef"]
        path = next(setting for setting in function["proconfig"] if setting.startswith("search_path="))
        assert path.startswith("search_path=pg_catalog, ")
        assert path.endswith(", pg_temp")


@pytest.mark.usefixtures("tree")
async def test_a_temporary_table_by_the_name_of_a_parent_forges_no_owner(writer: asyncpg.Connection, log: Log) -> None:
    await writer.execute(
        """
        insert into folder values (1, 'anne');
        create temporary table folder (id int, owner text);
        insert into pg_temp.folder values (1, 'mallory');
        insert into file values (10, 1);
        update file set name = 'x';
        """
    )
    assert [event.owner for event in await log.new("public.file")] == ["anne", "anne"]


@pytest.mark.usefixtures("tree")
async def test_a_search_path_of_the_writers_own_forges_no_owner(
    writer: asyncpg.Connection, admin: asyncpg.Connection, database: Database, log: Log
) -> None:
    await admin.execute(f"create schema mallory authorization writer_{database.name}")
    await writer.execute(
        """
        insert into folder values (1, 'anne');
        create table mallory.folder (id int, owner text);
        insert into mallory.folder values (1, 'mallory');
        create function mallory.current_setting(text, boolean) returns text language sql as $$ select 'stopped' $$;
        create function mallory.equal(text, text) returns boolean language sql as $$ select true $$;
        create operator mallory.= (function = mallory.equal, leftarg = text, rightarg = text);
        set search_path = mallory, pg_catalog, public;
        insert into public.file values (10, 1);
        update public.file set name = 'x';
        """
    )
    assert [(event.op, event.owner) for event in await log.new("public.file")] == [
        ("insert", "anne"),
        ("update", "anne"),
    ]


SHADOWS = """
create function public.jsonb_build_object(text, int, text, text, text, text, text, int) returns jsonb
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.jsonb_build_object(text, int) returns jsonb
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.pg_column_size(jsonb) returns int
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.octet_length(varchar) returns int
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.pg_notify(varchar, varchar) returns void
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.set_config(varchar, text, boolean) returns text
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.same(varchar, varchar) returns boolean
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.same(public.mood, public.mood) returns boolean
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.same(record, record) returns boolean
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.same(public.item, public.item) returns boolean
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create function public.joined(text, int) returns text
    language plpgsql as $$ begin raise exception 'shadowed as %', current_user; end $$;
create operator public.= (function = public.same, leftarg = varchar, rightarg = varchar);
create operator public.= (function = public.same, leftarg = public.mood, rightarg = public.mood);
create operator public.*<> (function = public.same, leftarg = public.item, rightarg = public.item);
create operator public.|| (function = public.joined, leftarg = text, rightarg = int);
"""


async def test_functions_and_operators_in_a_schema_where_others_may_create_shadow_none_of_ours(
    app: asyncpg.Connection, feed: asyncpg.Connection, writer: asyncpg.Connection, log: Log
) -> None:
    """The path holds public, for the owner expression; a better match there would run with the log's rights."""
    await app.execute(
        """
        create type mood as enum ('sad', 'happy');
        create table folder (id int primary key, owner varchar(20));
        create table item (id int primary key, name varchar, mood mood, folder_id int);
        insert into folder values (1, 'anne'), (2, 'bert');
        """
    )
    await writer.execute(SHADOWS)
    await feed.execute("select changefeed.watch('item', '(select f.owner from folder f where f.id = r.folder_id)')")
    await writer.execute(
        """
        insert into item values (1, 'a', 'sad', 1);
        update item set name = 'b', mood = 'happy';
        update item set id = 2;
        update item set folder_id = 2;
        update folder set owner = 'carl' where id = 2;
        begin; truncate item; truncate item; commit;
        """
    )
    assert [(event.op, event.owner) for event in await log.new()] == [
        ("insert", "anne"),
        ("update", "anne"),
        ("delete", "anne"),
        ("insert", "anne"),
        ("leave", "anne"),
        ("insert", "bert"),
        ("bulk", "bert"),
        ("bulk", "carl"),
        ("truncate", None),
    ]


async def test_a_partition_that_somebody_makes_needs_no_right_of_ours_but_its_tables_owners(
    app: asyncpg.Connection, feed: asyncpg.Connection, writer: asyncpg.Connection
) -> None:
    await app.execute("create table part (id int primary key) partition by range (id)")
    await feed.execute("select changefeed.watch('part', 'id')")
    await app.execute("create table part_1 partition of part for values from (0) to (10)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await writer.execute("create table part_2 partition of part for values from (10) to (20)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema changefeed"):
        await app.execute(
            "create table own (id int); create trigger t after insert on own execute function changefeed.capture_4()"
        )


async def test_the_log_is_written_with_the_rights_of_its_owner_and_nothing_of_the_writers(
    writer: asyncpg.Connection, item: str, log: Log
) -> None:
    """Settings of the writer's session that have to do with rights and isolation change nothing."""
    await writer.execute(
        "set row_security = off; set default_transaction_isolation = serializable; set check_function_bodies = off;"
        "insert into item (id, owner) values (1, 'anne')"
    )
    event = await log.only()
    assert (event.source, event.owner) == (item, "anne")
