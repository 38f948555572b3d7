"""Whose a row is: by column, by expression, of which kind, and what happens when that changes."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log


@pytest.mark.usefixtures("item")
async def test_a_changed_owner_leaves_the_former_one_the_key_alone_and_gives_the_new_one_the_row(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("insert into item (id, owner, n) values (1, 'anne', 7)")
    await log.new()
    await app.execute("update item set owner = 'bert', n = 8")
    leave, insert = await log.new()
    assert (leave.brief, leave.data, leave.before) == (("leave", 1, "anne"), None, None)
    assert (insert.brief, insert.before) == (("insert", 1, "bert"), None)
    assert insert.data == {"id": 1, "owner": "bert", "name": None, "n": 8}


@pytest.mark.parametrize(
    ("former", "latter", "events"),
    [
        ("null", "'anne'", [("leave", 1, None), ("insert", 1, "anne")]),
        ("'anne'", "null", [("leave", 1, "anne"), ("insert", 1, None)]),
    ],
)
@pytest.mark.usefixtures("item")
async def test_nobody_is_an_owner_too(
    app: asyncpg.Connection, log: Log, former: str, latter: str, events: list[object]
) -> None:
    await app.execute(f"insert into item (id, owner) values (1, {former})")
    await log.new()
    await app.execute(f"update item set owner = {latter}")
    assert await log.briefly() == events


@pytest.mark.usefixtures("item")
async def test_an_owner_column_need_not_be_watched(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    await feed.execute("select changefeed.watch('item', 'owner', columns => array['n'])")
    await log.new()
    await app.execute("insert into item (id, owner, n) values (1, 'anne', 7)")
    await app.execute("update item set owner = 'bert'")
    assert await log.briefly() == [("insert", 1, "anne"), ("leave", 1, "anne"), ("insert", 1, "bert")]


@pytest.mark.usefixtures("item")
async def test_an_owner_is_a_kind_and_a_value(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    await feed.execute("select changefeed.watch('item', 'n', owner_kind => 'organisation''s \"x\"')")
    await log.new()
    await app.execute("insert into item (id, n) values (1, 7)")
    await app.execute("update item set n = 8")
    await app.execute("update item set id = 2")
    assert {(event.owner_kind, event.owner) for event in await log.new()} == {
        ('organisation\'s "x"', "7"),
        ('organisation\'s "x"', "8"),
    }


EXPRESSIONS = [
    ("r.owner", "anne"),
    ("r.owner -- whose it is", "anne"),
    ("r.owner || ':' || r.n", "anne:7"),
    ("owner", "anne"),
    ("upper(owner)", "ANNE"),
    ("'everybody'", "everybody"),
    ("case when r.n > 5 then r.owner end", "anne"),
    ("nullif(r.owner, 'anne')", None),
    ("(select max(x) from unnest(array[r.owner, 'adam']) as x)", "anne"),
    ("r.note ->> 'whose'", "carl"),
]


@pytest.mark.usefixtures("item")
async def test_an_expression_gives_the_owner(app: asyncpg.Connection, feed: asyncpg.Connection, log: Log) -> None:
    for expression, owner in EXPRESSIONS:
        await feed.execute("select changefeed.watch('item', $1)", expression)
        await log.new()
        await app.execute("""insert into item (id, owner, n, note) values (1, 'anne', 7, '{"whose": "carl"}')""")
        await app.execute("update item set name = 'x'")
        await app.execute("delete from item")
        assert await log.briefly() == [("insert", 1, owner), ("update", 1, owner), ("delete", 1, owner)], expression


@pytest.mark.usefixtures("item")
async def test_a_column_that_only_the_expression_reads_can_change_the_owner(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.watch('item', 'r.note ->> ''whose''')")
    await log.new()
    await app.execute("""insert into item (id, note) values (1, '{"whose": "anne"}')""")
    await app.execute("""update item set note = '{"whose": "anne", "more": 1}'""")
    await app.execute("""update item set note = '{"whose": "bert"}'""")
    assert await log.briefly() == [("insert", 1, "anne"), ("leave", 1, "anne"), ("insert", 1, "bert")]


@pytest.mark.usefixtures("tree")
async def test_an_expression_may_find_the_owner_in_another_table(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(
        """
        insert into folder values (1, 'anne'), (2, 'bert');
        insert into file values (10, 1);
        insert into line values (100, 10);
        update file set name = 'x';
        update line set text = 'y';
        """
    )
    assert await log.briefly() == [
        ("insert", 10, "anne"),
        ("insert", 100, "anne"),
        ("update", 10, "anne"),
        ("update", 100, "anne"),
    ]


@pytest.mark.usefixtures("tree")
async def test_a_row_that_moves_to_another_parent_changes_its_owner(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(
        "insert into folder values (1, 'anne'), (2, 'bert'), (3, 'anne'); insert into file values (10, 1)"
    )
    await log.new()
    await app.execute("update file set folder_id = 3")
    assert await log.briefly("public.file") == [("update", 10, "anne")]
    await app.execute("update file set folder_id = 2")
    assert await log.briefly("public.file") == [("leave", 10, "anne"), ("insert", 10, "bert")]
    await app.execute("update file set folder_id = null")
    assert await log.briefly("public.file") == [("leave", 10, "bert"), ("insert", 10, None)]


@pytest.mark.usefixtures("tree")
async def test_the_owner_is_the_one_of_this_moment_also_within_a_transaction(app: asyncpg.Connection, log: Log) -> None:
    async with app.transaction():
        await app.execute("insert into folder values (1, 'anne'); insert into file values (10, 1)")
        await app.execute("update folder set owner = 'bert'; update file set name = 'x'")
    assert await log.briefly("public.file") == [
        ("insert", 10, "anne"),
        ("bulk", None, "anne"),
        ("bulk", None, "bert"),
        ("update", 10, "bert"),
    ]
