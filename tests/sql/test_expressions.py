"""Owner expressions that are not a walk to the owner, read what they must not, or hide what they read."""

from typing import Any

import asyncpg
import pytest

from tests.sql.vocabulary import Log, told


@pytest.fixture
async def team(app: asyncpg.Connection, feed: asyncpg.Connection) -> list[str]:
    """A table whose owner is found in a way that does not follow from one row of the parent. What watch said."""
    said: list[str] = []

    def hear(_connection: object, message: Any) -> None:
        said.append(str(message.message))

    await app.execute(
        """
        create table member (id int primary key, team_id int, name text, rank int, note text);
        create table task (id int primary key, team_id int);
        """
    )
    feed.add_log_listener(hear)
    await feed.execute(
        "select changefeed.watch('task', '(select m.name from member m where m.team_id = r.team_id"
        " order by m.rank limit 1)')"
    )
    feed.remove_log_listener(hear)
    return said


async def test_where_it_cannot_be_told_who_is_concerned_watch_says_so(team: list[str]) -> None:
    (notice,) = team
    assert "such a change tells everybody who watches public.task to refetch" in notice


@pytest.mark.parametrize(
    "change",
    [
        "insert into member values (9, 1, 'carl', 0)",
        "update member set rank = 5 where id = 1",
        "delete from member where id = 1",
        "truncate member",
    ],
)
@pytest.mark.usefixtures("team")
async def test_where_it_cannot_be_told_who_is_concerned_everybody_is_told_once(
    app: asyncpg.Connection, log: Log, change: str
) -> None:
    await app.execute("insert into member values (1, 1, 'anne', 1), (2, 1, 'bert', 2)")
    await log.new()
    await app.execute(change)
    assert told(await log.new()) == [(None, None)]


@pytest.mark.usefixtures("team")
async def test_everybody_is_told_once_a_transaction(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into member values (1, 1, 'anne', 1), (2, 1, 'bert', 2)")
    await log.new()
    await app.execute("begin; update member set rank = rank + 1; delete from member where id = 1; commit")
    assert told(await log.new()) == [(None, None)]


@pytest.mark.usefixtures("team")
async def test_a_column_that_the_expression_does_not_read_concerns_nobody(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("insert into member values (1, 1, 'anne', 1)")
    await log.new()
    await app.execute("update member set note = 'x'")
    assert await log.new() == []


@pytest.mark.usefixtures("tree")
async def test_another_expression_takes_its_triggers_from_the_tables_that_it_no_longer_reads(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    await feed.execute("select changefeed.watch('line', 'text')")
    await feed.execute("select changefeed.unwatch('file')")
    left = await feed.fetch(
        "select tgrelid::regclass::text from pg_trigger where tgname ~ '!changefeed' and tgrelid in"
        " ('folder'::regclass, 'file'::regclass)"
    )
    assert left == []
    assert await feed.fetchval("select count(*) from pg_proc where proname ~ '^parent_[0-9]'") == 1  # the template's
    await app.execute("insert into folder values (1, 'anne')")
    await log.new()
    await app.execute("update folder set owner = 'bert'")
    assert await log.new() == []


async def test_a_parent_that_the_caller_does_not_own_is_refused(
    app: asyncpg.Connection, feed: asyncpg.Connection, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "create table foreign_room (id int primary key, owner text); grant select on foreign_room to changefeed"
    )
    await app.execute("create table desk (id int primary key, room_id int)")
    with pytest.raises(
        asyncpg.InsufficientPrivilegeError, match=r"public\.desk.*reads public.foreign_room.*does not own"
    ) as refusal:
        await feed.execute(
            "select changefeed.watch('desk', '(select m.owner from foreign_room m where m.id = r.room_id)')"
        )
    assert "grant postgres to changefeed" in str(refusal.value.hint)
    assert await feed.fetchval("select to_regclass('changefeed.owner_probe') is null")
    assert not await feed.fetchval("select exists (select from changefeed.watch where source = 'public.desk')")


async def test_a_view_is_no_parent(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await app.execute(
        """
        create table room (id int primary key, owner text);
        create view door as select * from room;
        create table desk (id int primary key, room_id int);
        """
    )
    with pytest.raises(asyncpg.WrongObjectTypeError, match="door is not a table") as refusal:
        await feed.execute("select changefeed.watch('desk', '(select m.owner from door m where m.id = r.room_id)')")
    assert "name the tables behind it" in str(refusal.value.hint)


async def test_a_function_hides_what_it_reads_and_watch_says_so(
    app: asyncpg.Connection, feed: asyncpg.Connection, log: Log
) -> None:
    said: list[str] = []
    await app.execute(
        """
        create table room (id int primary key, owner text);
        create table desk (id int primary key, room_id int);
        create function owner_of(room int) returns text language sql stable
            return (select m.owner from room m where m.id = room);
        """
    )
    feed.add_log_listener(lambda _connection, message: said.append(str(message.message)))
    await feed.execute("select changefeed.watch('desk', 'owner_of(r.room_id)')")
    assert "calls public.owner_of" in said[0]
    await app.execute("insert into room values (1, 'anne'); insert into desk values (7, 1)")
    assert await log.briefly() == [("insert", 7, "anne")]


@pytest.mark.usefixtures("full")
async def test_row_security_on_a_parent_hides_no_owner(app: asyncpg.Connection, log: Log) -> None:
    await app.execute("alter table folder enable row level security")
    await app.execute("update file set name = 'x' where id = 10")
    assert await log.briefly("public.file") == [("update", 10, "anne")]


@pytest.mark.usefixtures("full")
async def test_row_security_that_binds_the_owner_too_is_refused(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    """It would hide owners, or fail every capture."""
    await app.execute("alter table folder enable row level security; alter table folder force row level security")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await feed.execute("select changefeed.watch('file', '(select f.owner from folder f where f.id = r.folder_id)')")


@pytest.mark.usefixtures("full")
async def test_row_security_that_comes_later_and_binds_the_owner_too_is_an_error_and_hides_no_owner(
    app: asyncpg.Connection, log: Log
) -> None:
    await app.execute("alter table folder enable row level security; alter table folder force row level security")
    await app.execute("update file set name = 'x' where id = 10")
    (event,) = await log.new("public.file")
    assert (event.op, (event.data or {})["sqlstate"]) == ("error", "42501")
