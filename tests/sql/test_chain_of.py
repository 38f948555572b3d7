"""Which owner expressions are recognised as a way from the row to its owner, and which are left alone."""

import asyncpg
import pytest

TABLES = """
create table a (id int primary key, b_id int, v varchar(9), owner text, flag bool);
create table b (id int primary key, c_id int, k int, v varchar(9), owner text);
create table c (id int primary key, "The Owner" text, k int);
create table start (id int primary key, a_id int, k int, v varchar(9), owner text);
"""

RECOGNISED = {
    "(select a.owner from a where a.id = r.a_id)": ["a"],
    "(select x.owner from public.a as x where r.a_id = x.id)": ["a"],
    "(select x.owner::text from a x where x.id = r.a_id)": ["a"],
    "(select x.v from a x where x.v = r.v)": ["a"],
    "(select b.owner from a join b on b.id = a.b_id where a.id = r.a_id)": ["a", "b"],
    "(select b.owner from b, a where a.id = r.a_id and b.id = a.b_id)": ["a", "b"],
    "(select b.owner from a join b on b.id = a.b_id and b.v = a.v where a.id = r.a_id)": ["a", "b"],
    '(select c."The Owner" from a join b on b.id = a.b_id join c on c.id = b.c_id where a.id = r.a_id)': [
        "a",
        "b",
        "c",
    ],
    "coalesce(r.owner, (select a.owner from a where a.id = r.a_id))": ["a"],
}

LEFT_ALONE = [
    "(select a.owner from a where a.id = r.a_id and a.flag)",
    "(select a.owner from a where a.id = r.a_id or a.id = r.k)",
    "(select a.owner from a where a.id = r.a_id and a.b_id = 5)",
    "(select a.owner from a where a.id < r.a_id)",
    "(select min(a.owner) from a where a.id = r.a_id)",
    "(select upper(a.owner) from a where a.id = r.a_id)",
    "(select a.owner from a where a.id = r.a_id limit 1)",
    "(select distinct a.owner from a where a.id = r.a_id)",
    "(select b.owner from a left join b on b.id = a.b_id where a.id = r.a_id)",
    "(select b.owner from a join b using (id) where a.id = r.a_id)",
    "(select x.owner from a join a as x on x.id = a.b_id where a.id = r.a_id)",
    "(select a.owner from a join b on b.id = a.b_id where a.id = r.a_id)",
    "(select b.owner from a join b on b.id = r.k where a.id = r.a_id)",
    '(select c."The Owner" from a, b, c where a.id = r.a_id and b.id = a.b_id and c.id = a.b_id)',
    "(select b.owner from a, b where a.id = r.a_id)",
    "(select b.owner from a, b, c where a.id = r.a_id and b.id = a.b_id and c.id = a.b_id and c.k = b.k)",
    "(select a.owner from a where not a.id = r.a_id)",
    "coalesce((select a.owner from a where a.id = r.a_id), r.owner)",
    "coalesce((select a.owner from a where a.id = r.a_id), 'nobody')",
    "lower((select a.owner from a where a.id = r.a_id))",
    "case when r.k = 1 then (select a.owner from a where a.id = r.a_id) end",
    "(select a.owner from a where a.id = r.a_id) || (select b.owner from b where b.id = r.k)",
    "(select b.owner from b where b.id = (select a.b_id from a where a.id = r.a_id))",
    "(with x as (select * from a) select x.owner from x where x.id = r.a_id)",
    "r.owner",
    "'(select a.owner from a where a.id = r.a_id)'",
]


async def chain(feed: asyncpg.Connection, expression: str) -> list[asyncpg.Record]:
    """What is recognised, of a view as changefeed.probe() makes it."""
    await feed.execute(f"create view changefeed.one as select ({expression})::text as owner from start as r")
    await feed.execute("set search_path = pg_catalog")
    found = await feed.fetch(
        "select c.relation::regclass::text as table_name, c.* from changefeed.chain_of("
        "pg_get_viewdef('changefeed.one'::regclass, false)) c"
    )
    await feed.execute("reset search_path")
    await feed.execute("drop view changefeed.one")
    return found


@pytest.fixture(autouse=True)
async def tables(app: asyncpg.Connection) -> None:
    await app.execute(TABLES)


async def test_a_way_through_tables_is_recognised_however_it_is_written(feed: asyncpg.Connection) -> None:
    for expression, way in RECOGNISED.items():
        found = [row["table_name"].removeprefix("public.") for row in await chain(feed, expression)]
        assert found == way, expression


async def test_anything_else_is_left_alone(feed: asyncpg.Connection) -> None:
    for expression in LEFT_ALONE:
        assert await chain(feed, expression) == [], expression


async def test_each_table_knows_by_what_it_was_reached_and_how_to_go_on(feed: asyncpg.Connection) -> None:
    expression = (
        '(select c."The Owner" from a join b on b.id = a.b_id and b.v = a.v join c on c.id = b.c_id'
        " where a.id = r.a_id)"
    )
    a, b, c = await chain(feed, expression)
    assert (a["linked"], sorted(a["picked"])) == (["id"], ["b_id", "v"])
    assert (sorted(b["linked"]), b["picked"]) == (["id", "v"], ["c_id"])
    assert (c["linked"], c["picked"], c["onward"]) == (["id"], ["The Owner"], "")
    assert b["onward"] == ", public.c as c where c.id = b.c_id"
    assert {row["owner"] for row in (a, b, c)} == {'c."The Owner"'}
