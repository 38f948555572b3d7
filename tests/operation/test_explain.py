"""`changefeed explain` tells the truth for each way in which a change reaches nobody, and says which sessions got it."""

import json
import sys
from typing import Any

import asyncpg
import pytest

from changefeed.commands import explanation_of
from changefeed.cursor import Cursor
from changefeed.errors import ConfigurationError
from changefeed.event import Owner
from changefeed.mapping import EventMapping
from changefeed.settings import Settings
from tests.support.scrape import until
from tests.support.service import Process, environment
from tests.support.site import Site

MAPPING = EventMapping(Settings().sources)


class Case:
    """What explain says of one row and one owner."""

    def __init__(self, feed: asyncpg.Connection, table: str, key: Any, owner: Any, kind: str = "user") -> None:
        self.feed, self.table, self.key, self.owner = feed, table, str(key), Owner(kind, str(owner))

    async def told(self, wait: float = 0.0) -> dict[str, Any]:
        found = await explanation_of(self.feed, MAPPING, self.owner, self.table, self.key, wait)
        assert found.as_text()
        # For programs it is JSON, whatever there is in it.
        result: dict[str, Any] = json.loads(json.dumps(found.as_dict()))
        return result

    async def names(self) -> list[str]:
        return [conclusion["name"] for conclusion in (await self.told())["conclusions"]]

    async def events(self) -> list[tuple[str, str]]:
        return [(event["op"], event["meant"]) for event in (await self.told())["events"]]


@pytest.fixture
async def item(app: asyncpg.Connection, feed: asyncpg.Connection) -> Case:
    """A watched table with one row of `one`'s, which an event has brought."""
    await app.execute("create table item (id int primary key, owner text, name text, note jsonb)")
    await feed.execute("select changefeed.watch('item', 'owner')")
    await app.execute("insert into item values (1, 'one', 'first', '{}')")
    return Case(feed, "public.item", 1, "one")


async def test_a_change_that_was_captured_is_the_owners(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("update item set name = 'second' where id = 1")
    assert await item.events() == [("update", "owner"), ("insert", "owner")]
    assert await item.names() == ["captured", "owner", "columns"]


async def test_somebody_elses_row_is_not_sent_and_it_says_whose_it_is(item: Case) -> None:
    other = Case(item.feed, "item", 1, "another")
    told = await other.told()
    assert [event["meant"] for event in told["events"]] == ["somebody-else"]
    assert "belongs to user:one" in told["events"][0]["sentence"]
    assert "owner-differs" in await other.names()


async def test_a_row_without_an_owner_is_nobodys(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("update item set owner = null where id = 1")
    assert await item.events() == [("insert", "nobody"), ("leave", "owner"), ("insert", "owner")]
    assert (await item.names())[:2] == ["captured", "no-owner"]


async def test_a_new_owner_sees_nothing_from_before(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("update item set owner = 'two' where id = 1")
    two = Case(item.feed, "item", 1, "two")
    assert await two.events() == [("insert", "owner"), ("leave", "somebody-else"), ("insert", "somebody-else")]
    assert "owner" in await two.names()


async def test_a_change_of_columns_that_are_not_watched_leaves_the_newest_event_true(
    item: Case, app: asyncpg.Connection
) -> None:
    await app.execute("""update item set note = '{"a": 1}' where id = 1""")
    told = await item.told()
    assert await item.events() == [("insert", "owner")]
    columns = next(one for one in told["conclusions"] if one["name"] == "columns")
    assert "nothing but note is not captured" in columns["sentence"]


async def test_what_was_written_past_the_capture_is_seen_by_comparing(item: Case, app: asyncpg.Connection) -> None:
    async with app.transaction():
        await app.execute("set local changefeed.skip = on")
        await app.execute("update item set name = 'silent' where id = 1")
    told = await item.told()
    assert told["conclusions"][0]["name"] == "not-captured"
    assert "name of the row have changed since" in told["conclusions"][0]["sentence"]
    assert "changefeed.skip" in told["conclusions"][0]["sentence"]


async def test_a_row_that_went_or_came_past_the_capture_is_seen_as_well(item: Case, app: asyncpg.Connection) -> None:
    async with app.transaction():
        await app.execute("set local changefeed.skip = on")
        await app.execute("delete from item")
        await app.execute("insert into item values (2, 'one', 'silent', null)")
    assert (await item.names())[0] == "not-captured"
    assert (await Case(item.feed, "item", 2, "one").names())[0] == "not-in-log"


async def test_a_pause_is_named_and_so_is_the_refetch_that_ends_it(item: Case, app: asyncpg.Connection) -> None:
    await item.feed.execute("select changefeed.pause('item')")
    await app.execute("update item set name = 'unseen' where id = 1")
    assert (await item.names())[:2] == ["paused", "not-captured"]
    await item.feed.execute("select changefeed.resume('item')")
    assert (await item.names())[0] == "row-covered"
    assert await item.events() == [("bulk", "everybody"), ("insert", "owner")]


async def test_a_disabled_trigger_is_named(item: Case, app: asyncpg.Connection) -> None:
    await app.execute('alter table item disable trigger "!changefeed_update"')
    await app.execute("update item set name = 'unseen' where id = 1")
    assert (await item.names())[:2] == ["triggers", "not-captured"]


async def test_bulk_is_everybodys_refetch(item: Case, app: asyncpg.Connection) -> None:
    await item.feed.execute("select changefeed.watch('item', 'owner', bulk_rows => 2)")
    await app.execute("insert into item select n, 'one', 'many', null from generate_series(10, 14) as n")
    last = Case(item.feed, "item", 14, "one")
    assert ("bulk", "everybody") in await last.events()
    assert (await last.names())[0] == "row-covered"


async def test_an_emptied_table_explains_the_missing_row(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("truncate item")
    assert await item.events() == [("truncate", "everybody"), ("insert", "owner")]
    assert (await item.names())[0] == "row-covered"


async def test_a_row_that_is_too_large_is_sent_as_its_key(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("update item set name = (select string_agg(md5(n::text), '') from generate_series(1, 4000) as n)")
    told = await item.told()
    assert told["events"][0]["partial"]
    assert "only its key is sent" in told["events"][0]["sentence"]
    assert (await item.names())[0] == "captured"


async def test_a_capture_that_failed_says_how(item: Case, app: asyncpg.Connection) -> None:
    await app.execute("alter table item drop column name")
    await app.execute("update item set note = '1' where id = 1")
    told = await item.told()
    assert told["events"][0]["meant"] == "failed"
    assert 'record "new" has no field "name"' in told["events"][0]["sentence"]
    assert told["conclusions"][0]["name"] == "columns-gone"


async def test_an_owner_through_a_parent_is_resolved_as_the_capture_does_it(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await app.execute("insert into workflow (id, owner_id, name) values ($1, $2, 'w')", _id("a"), _id("1"))
    await app.execute("insert into workflow_execution (id, workflow_id) values ($1, $2)", _id("e"), _id("a"))
    former = Case(feed, "workflow_execution", _id("e"), _id("1"))
    assert "owner" in await former.names()
    await app.execute("update workflow set owner_id = $1", _id("2"))
    assert await former.events() == [("bulk", "owner"), ("insert", "owner")]
    assert "owner-differs" in await former.names()
    new = Case(feed, "workflow_execution", _id("e").upper(), _id("2"))
    assert await new.events() == [("bulk", "owner"), ("insert", "somebody-else")]
    assert "owner-moved" in await new.names()


async def test_another_kind_of_owner_and_a_composite_key(app: asyncpg.Connection, feed: asyncpg.Connection) -> None:
    await app.execute("create table part (a int, b text, org text, primary key (a, b))")
    await feed.execute("select changefeed.watch('part', 'org', owner_kind => 'org')")
    await app.execute("insert into part values (1, 'x', 'acme'), (1, 'y', 'acme')")
    key = '{"a": 1, "b": "x"}'
    assert "owner-kind" in await Case(feed, "part", key, "acme").names()
    case = Case(feed, "part", key, "acme", "org")
    assert await case.names() == ["captured", "owner"]
    assert await case.events() == [("insert", "owner")]


@pytest.mark.parametrize(
    ("table", "key", "complaint"),
    [
        ("workflow", "1", "workflow is not watched"),
        ("workflow_execution", "1", "id is of type uuid"),
        ("workflow_execution", '{"x": 1}', "the key of public.workflow_execution is id"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_a_reason(
    feed: asyncpg.Connection, table: str, key: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        await Case(feed, table, key, "one").told()


async def test_asking_runs_the_owner_expression_but_never_writes(
    app: asyncpg.Connection, feed: asyncpg.Connection
) -> None:
    await app.execute(
        """
        create table item (id int primary key, name text);
        create table asked (id int);
        grant all on item, asked to changefeed;
        create function whose() returns text language sql as $$insert into public.asked values (1) returning 'one'$$;
        """
    )
    await feed.execute("select changefeed.watch('item', '(select whose() where r.id is not null)')")
    await app.execute("insert into item values (1, 'first')")
    count = "select count(*) from asked"
    before = await app.fetchval(count)
    case = Case(feed, "item", 1, "one")
    assert await case.events() == [("insert", "owner")]
    assert (await case.names())[0] == "row-unreadable"
    assert await app.fetchval(count) == before


async def test_each_process_says_which_of_its_sessions_got_it_and_where_they_are(own: Site) -> None:
    first, second = await own.start(), await own.start()
    tenant, other = await own.tenant(), await own.tenant()
    execution = await tenant.begin()
    for process in (first, second):
        await until(process.url, lambda scrape: scrape.value("relay_events_total") == 1)
    socket = await own.joined("websocket", tenant, first.url)
    tasks = await own.joined("websocket", tenant, first.url, topics="agent-tasks")
    turned = await own.joined("websocket", tenant, first.url, topics="executions")
    gone = await own.joined("sse", tenant, second.url)
    await gone.close()
    stays = await own.joined("sse", tenant, second.url)
    await own.joined("websocket", other, second.url)
    await tenant.move(execution, 1)
    await socket.until("execution-updated", progress=1)
    await stays.until("execution-updated", progress=1)
    await tasks.say("ping")  # type: ignore[attr-defined]
    await tasks.until("pong")
    late = await own.joined("websocket", tenant, first.url)
    await turned.until("execution-updated", progress=1)
    await turned.say(json.dumps({"type": "subscribe", "topics": ["agent-tasks"]}))  # type: ignore[attr-defined]
    await turned.until("subscribed")

    told = await Case(own.feed, "workflow_execution", execution, tenant.id).told(wait=20.0)
    assert told["silent"] == []
    assert len(told["processes"]) == 2
    assert sorted(process["leading"] for process in told["processes"]) == [False, True]
    newest, oldest = told["events"]
    assert newest["op"] == "update"
    fates = sorted((session["transport"], session["fate"]) for session in newest["sessions"])
    assert fates == [
        ("sse", "ended"),
        ("sse", "sent"),
        ("websocket", "before"),
        ("websocket", "changed"),
        ("websocket", "sent"),
        ("websocket", "topic"),
    ]
    assert {session["user"] for session in newest["sessions"]} == {str(tenant.id)}
    place = next(session["place"] for session in newest["sessions"] if session["fate"] == "sent")
    assert Cursor.parse(place).snapshot.covers(Cursor.parse(str(socket.cursor)).snapshot)
    assert {session["fate"] for session in oldest["sessions"]} == {"before"}
    await late.close()


async def test_who_does_not_answer_is_named(own: Site) -> None:
    tenant = await own.tenant()
    execution = await tenant.begin()
    deaf = await asyncpg.connect(own.database.feed_dsn, server_settings={"application_name": "changefeed listener"})
    told = await Case(own.feed, "workflow_execution", execution, tenant.id).told()
    assert told["silent"] == [deaf.get_server_pid()]
    await deaf.close()


async def test_the_command_says_it_for_people_and_for_programs(own: Site) -> None:
    tenant = await own.tenant()
    execution = await tenant.begin()
    options = ["--owner", str(tenant.id), "--table", "workflow_execution", "--key", execution]
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "changefeed", "explain", *options, *more]
        process = Process(command, environment(dsn=own.services.dsn))
        own.stack.callback(process.kill)
        assert await process.ended() == 0, process.log
        if more:
            assert json.loads(process.log)["events"][0]["meant"] == "owner"
        else:
            assert f"it belongs to user:{tenant.id}" in process.log
            assert "its last change was captured" in process.log


def _id(letter: str) -> str:
    return f"00000000-0000-4000-8000-00000000000{letter}"
