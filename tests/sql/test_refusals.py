"""What watch() refuses, and that each refusal says what to do."""

import asyncpg
import pytest

TABLE = "create table bad (id int primary key, a int); insert into bad values (1)"
REFUSED = [
    ("create table bad (id int)", "'id'", "has no primary key", "alter table public.bad add primary key"),
    ("create table bad (id int primary key deferrable)", "'id'", "primary key is deferrable", "NOT DEFERRABLE"),
    ("create view bad as select 1 as id", "'id'", "public.bad is not a table", "name the tables behind it"),
    ("create table bad (id int primary key); create table child () inherits (bad)", "'id'",
     "other tables inherit from public.bad", "Use partitions"),
    ("create table whole (id int primary key) partition by list (id); create table bad partition of whole default",
     "'id'", "is a partition", "Watch the whole table"),
    (TABLE, "'owner'", "owner expression does not run", "over the row alias r"),
    (TABLE, "''", "no owner was given", "expression over the row alias r"),
    (TABLE, "null", "no owner was given", "expression over the row alias r"),
    (TABLE, "'a', columns => array['c']", "has no column c", "without quotes"),
    (TABLE, "'a', columns => array['ctid']", "has no column ctid", "without quotes"),
    (TABLE, "'(select 1 union all select 2)'", "does not run: more than one row", "must give one value"),
    (TABLE, "'r.a; drop table bad'", "does not run: syntax error", "one value"),
    (TABLE, "'1) as owner from bad as r --'", "does not run: syntax error", "one value"),
    (TABLE, "'to_jsonb(r) ->> ''a'''", "uses the row r as a whole", "r.workflow_id"),
    (TABLE, "'r'", "uses the row r as a whole", "Name the columns"),
    (TABLE, "'nowhere()'", "does not exist", "It runs as changefeed"),
    (TABLE, "'a', bulk_rows => null", "must have a value", "defaults"),
]  # fmt: skip


async def test_what_cannot_be_watched_is_refused_with_a_remedy(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    for made, choice, message, hint in REFUSED:
        await app.execute(f"begin; {made}; commit")
        with pytest.raises(asyncpg.PostgresError, match=message) as raised:
            await feed.execute(f"select changefeed.watch('bad', {choice})")
        assert str(raised.value).startswith("changefeed cannot watch "), choice
        assert hint in str(raised.value.hint), choice
        assert await feed.fetchval("select to_regclass('changefeed.owner_probe') is null")
        await app.execute("set client_min_messages = warning")
        await app.execute("drop view bad" if "view" in made else "drop table if exists child, whole, bad cascade")
    assert not await feed.fetchval("select exists (select from changefeed.watch where source like '%.bad')")


async def test_a_temporary_table_is_refused(feed: asyncpg.Connection) -> None:
    await feed.execute("create temporary table bad (id int primary key)")
    with pytest.raises(asyncpg.WrongObjectTypeError, match="temporary table"):
        await feed.execute("select changefeed.watch('bad', 'id')")


@pytest.mark.parametrize("databases", ["embedded"], indirect=True, ids=["18"])
@pytest.mark.parametrize(
    "choice",
    ["'v'", "'r.v'", "'owner', columns => array['v']", "'(select o.owner from other o where o.id = r.v)'"],
)
async def test_a_virtual_generated_column_is_refused_wherever_its_value_would_be_needed(
    app: asyncpg.Connection, feed: asyncpg.Connection, choice: str
) -> None:
    await app.execute(
        """
        create table other (id int primary key, owner text);
        create table bad (id int primary key, owner text, v int generated always as (id * 2) virtual);
        """
    )
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="v is a virtual generated column") as raised:
        await feed.execute(f"select changefeed.watch('bad', {choice})")
    assert "Make it STORED" in str(raised.value.hint)


async def test_a_table_of_somebody_elses_is_refused(feed: asyncpg.Connection, admin: asyncpg.Connection) -> None:
    await admin.execute('create role "The Others"; create table foreign_one (id int primary key)')
    try:
        await admin.execute('alter table foreign_one owner to "The Others"')
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match=r"changefeed does not own public\.foreign_one"
        ) as raised:
            await feed.execute("select changefeed.watch('foreign_one', 'id')")
        assert 'grant "The Others" to changefeed' in str(raised.value.hint)
    finally:
        await admin.execute('drop table foreign_one; drop role "The Others"')
