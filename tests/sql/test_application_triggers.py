"""The application's own triggers, and cascades: the log has every row's changes in their order, or says "refetch"."""

import asyncpg
import pytest

from tests.sql.vocabulary import Log, Recorded


def changes(events: list[Recorded]) -> list[tuple[str, object, object]]:
    """Op, former n, n: of the rows' counter."""
    return [(e.op, (e.before or {}).get("n"), (e.data or {}).get("n")) for e in events]


async def trigger(app: asyncpg.Connection, when: str, body: str, table: str = "item") -> None:
    """A trigger of the application's, named as they usually are."""
    await app.execute(
        f"create function touch_{table}() returns trigger language plpgsql as $$ begin {body} end $$;"
        f"create trigger a_touch {when} on {table} for each row execute function touch_{table}();"
    )


@pytest.mark.usefixtures("item")
async def test_what_a_before_trigger_changes_is_part_of_the_change(app: asyncpg.Connection, log: Log) -> None:
    await trigger(app, "before insert or update", "new.n := coalesce(new.n, 0) + 100; return new;")
    await app.execute("insert into item (id, n) values (1, 1)")
    await app.execute("update item set name = 'x'")
    assert changes(await log.new()) == [("insert", None, 101), ("update", 101, 201)]


@pytest.mark.usefixtures("item")
async def test_a_before_trigger_that_refuses_a_row_leaves_no_event(app: asyncpg.Connection, log: Log) -> None:
    await trigger(app, "before insert", "return null;")
    await app.execute("insert into item (id) values (1)")
    assert await log.new() == []


@pytest.mark.usefixtures("item")
async def test_an_after_trigger_that_writes_to_the_same_row_comes_after_the_change_that_fired_it(
    app: asyncpg.Connection, log: Log
) -> None:
    await trigger(
        app,
        "after insert or update",
        "if new.n < 3 then update item set n = new.n + 1 where id = new.id; end if; return null;",
    )
    await app.execute("insert into item (id, n) values (1, 1), (2, 2)")
    events = await log.new()
    assert changes([e for e in events if e.key == {"id": 1}]) == [
        ("insert", None, 1),
        ("update", 1, 2),
        ("update", 2, 3),
    ]
    assert changes([e for e in events if e.key == {"id": 2}]) == [("insert", None, 2), ("update", 2, 3)]


@pytest.mark.usefixtures("item")
async def test_a_trigger_of_one_statement_in_another_table_is_in_its_place(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    """The usual one: a parent that counts its children."""
    await app.execute("create table part (id int primary key, item_id int)")
    await feed.execute("select changefeed.watch('part', 'item_id')")
    await trigger(app, "after insert", "update item set n = n + 1 where id = new.item_id; return null;", table="part")
    await app.execute("insert into item (id, n) values (1, 0)")
    async with app.transaction():
        await app.execute("insert into part values (7, 1), (8, 1)")
        await app.execute("update item set n = 10")
    assert changes(await log.new("public.item")) == [
        ("insert", None, 0),
        ("update", 0, 1),
        ("update", 1, 2),
        ("update", 2, 10),
    ]


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("update item set n = 50 where id = 2", "update item set n = n + 1"),
        ("delete from item where id = 2", "update item set n = n + 1"),
        ("insert into item (id, n) values (2, 50)", "delete from item"),
    ],
)
@pytest.mark.usefixtures("item")
async def test_a_trigger_that_writes_to_a_row_whose_event_still_waits_makes_everybody_refetch(
    app: asyncpg.Connection, log: Log, inner: str, outer: str
) -> None:
    """The inner change is recorded first. Recorded last, the outer one would stand for the row as it is."""
    await app.execute("insert into item (id, n) values (1, 1), (2, 2)")
    await log.new()
    await trigger(
        app, "after update or delete", f"if old.id = 1 and pg_trigger_depth() = 1 then {inner}; end if; return null;"
    )
    await app.execute(outer)
    events = await log.new()
    assert [event.op for event in events][-1] == "bulk"
    assert (events[-1].owner, events[-1].data) == (None, {"reason": "bulk"})


@pytest.mark.usefixtures("item")
async def test_such_a_trigger_does_not_spoil_rows_that_nobody_wrote_twice(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into item (id, n) values (1, 1), (2, 2), (3, 3)")
    await log.new()
    await trigger(
        app,
        "after update",
        "if new.id = 1 and pg_trigger_depth() = 1 then update item set n = 50 where id = 9; "
        "update item set n = 60 where id = 1; end if; return null;",
    )
    await app.execute("update item set n = n + 1")
    await app.execute("delete from item where id = 3")
    assert changes(await log.new()) == [
        ("update", 1, 2),
        ("update", 2, 60),
        ("update", 2, 3),
        ("update", 3, 4),
        ("delete", None, 4),
    ]


async def test_two_cascades_on_one_row_are_in_their_order_with_the_right_former_values(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table left_side (id int primary key);
        create table right_side (id int primary key, left_id int references left_side on update cascade);
        create table middle (id int primary key, left_id int references left_side on update cascade,
                             right_left_id int references left_side on update cascade);
        insert into left_side values (1);
        insert into middle values (7, 1, 1);
        """
    )
    await feed.execute("select changefeed.watch('middle', 'id')")
    await app.execute("update left_side set id = 2")
    first, second = await log.new()
    assert (first.before, second.before) in (
        ({"left_id": 1}, {"right_left_id": 1}),
        ({"right_left_id": 1}, {"left_id": 1}),
    )
    assert second.data == {"id": 7, "left_id": 2, "right_left_id": 2}


@pytest.mark.usefixtures("item")
async def test_a_cascade_that_waits_while_a_trigger_writes_to_the_same_row_makes_everybody_refetch(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await app.execute(
        """
        create table part (id int primary key, item_id int references item on update cascade, n int);
        insert into item (id) values (1);
        insert into part values (7, 1, 1);
        """
    )
    await feed.execute("select changefeed.watch('part', 'item_id')")
    await trigger(app, "after update", "update part set n = 50; return null;")
    await app.execute("update item set id = 2")
    events = await log.new("public.part")
    assert events[-1].op == "bulk"


@pytest.mark.usefixtures("item")
async def test_a_deferred_constraint_trigger_that_writes_is_captured(app: asyncpg.Connection, log: Log) -> None:
    await app.execute(
        """
        create function late() returns trigger language plpgsql as
            $$ begin update item set n = 50 where id = new.id; return null; end $$;
        create constraint trigger late after insert on item deferrable initially deferred
            for each row execute function late();
        begin; insert into item (id, n) values (1, 1); update item set n = 2; commit;
        """
    )
    assert changes(await log.new()) == [("insert", None, 1), ("update", 1, 2), ("update", 2, 50)]


@pytest.mark.usefixtures("item")
async def test_triggers_of_the_applications_that_fire_first_by_name_do_no_harm(
    app: asyncpg.Connection, log: Log
) -> None:
    """Nothing sorts before "!" but a space or a control character: then the order is not ours, and everybody refetches."""
    await app.execute(
        """
        create function touch() returns trigger language plpgsql as
            $$ begin update item set n = new.n + 1 where id = new.id; return null; end $$;
        create trigger " first" after insert on item for each row execute function touch();
        insert into item (id, n) values (1, 1);
        """
    )
    assert [event.op for event in await log.new()] == ["update", "bulk"]


@pytest.mark.usefixtures("item")
async def test_a_statement_inside_a_function_of_another_role_is_captured(
    app: asyncpg.Connection, admin: asyncpg.Connection, log: Log
) -> None:
    await admin.execute(
        """
        create function write_item() returns void language sql security definer as
            $$ insert into item (id, owner) values (1, 'anne') $$;
        """
    )
    await app.execute("select write_item()")
    assert await log.briefly() == [("insert", 1, "anne")]
