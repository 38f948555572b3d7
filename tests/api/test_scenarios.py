"""What a client lives through, the same over every transport: PROTOCOL, "Session", "Topics and events"."""

import asyncio
import re

import pytest

from changefeed.cursor import Cursor
from changefeed.messages import server_message
from tests.api.scenarios import ADMIN, TYPED, progress, repeat_until
from tests.support.site import Site
from tests.support.subscribers import TRANSPORTS, Message

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


async def test_ready_comes_once_and_says_what_is_true(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    token = tenant.token(seconds=1000)
    client = await shared.connect(transport, token, mode="state", min_interval=20)
    ready = await client.next()
    execution = await tenant.begin()
    await client.until("execution-started", execution_id=execution)
    assert client.kinds.count("ready") == 1
    for message in client.seen:
        server_message.validate_python(message)
    assert ready["user_id"] == ready["data"]["user_id"] == str(tenant.id)
    assert Cursor.parse(ready["cursor"]).epoch == ready["data"]["server"]["epoch"]
    expected = {"outcome": "fresh", "admin": False, "mode": "state", "min_interval": 20}
    assert ready["data"] | expected == ready["data"]
    assert set(ready["data"]["topics"]) > TYPED
    assert ADMIN.isdisjoint(ready["data"]["topics"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", ready["data"]["token_expires_at"])


async def test_every_tab_of_the_owner_gets_every_event_and_nobody_else_gets_any(shared: Site, transport: str) -> None:
    one, other = await shared.tenant(), await shared.tenant()
    tabs = [await shared.joined(transport, one) for _ in range(3)]
    stranger = await shared.joined(transport, other)

    execution = await one.begin("pending")
    await one.turn(execution, "running")
    await one.move(execution, 50)
    task = await one.task(execution)
    await one.turn(execution, "completed")
    await one.turn(execution, "failed")
    await shared.app.execute("delete from workflow_execution where id = $1::text::uuid", execution)
    fence = await other.begin()

    for tab in tabs:
        await tab.until("execution-deleted")
        await tab.until("agent-task-update", deleted=True)
        assert [(m["type"], m["data"].get("status")) for m in tab.events if m["type"] != "agent-task-update"] == [
            ("execution-updated", "pending"),
            ("execution-started", "running"),
            ("execution-updated", "running"),
            ("execution-completed", "completed"),
            ("execution-failed", "failed"),
            ("execution-deleted", "failed"),
        ]
        assert [m["data"]["task_id"] for m in tab.events if m["type"] == "agent-task-update"] == [task, task]
        assert {m["user_id"] for m in tab.events} == {str(one.id)}
    assert len({tuple(message["id"] for message in tab.events) for tab in tabs}) == 1
    await stranger.until("execution-started", execution_id=fence)
    assert {message["user_id"] for message in stranger.events} == {str(other.id)}


async def test_coming_back_is_fresh_or_replayed_or_a_resync(shared: Site, transport: str) -> None:
    tenant, other = await shared.tenant(), await shared.tenant()
    execution = await tenant.begin()
    client = await shared.joined(transport, tenant)
    await tenant.move(execution, 1)
    await client.until("execution-updated")
    await client.close()

    await other.begin()
    back = await shared.joined(transport, tenant, since=client.cursor)
    assert back.seen[0]["data"]["outcome"] == "fresh"
    await back.close()

    for number in (2, 3):
        await tenant.move(execution, number)
    again = await shared.joined(transport, tenant, since=client.cursor)
    assert again.seen[0]["data"]["outcome"] == "replayed"
    assert again.seen[0]["cursor"] == client.cursor
    assert progress([await again.next(), await again.next()]) == [2, 3]
    await again.close()

    foreign = str(Cursor("0123456789abcdef", Cursor.parse(str(client.cursor)).snapshot))
    for number, since in enumerate((foreign, "nonsense"), start=4):
        lost = await shared.joined(transport, tenant, since=since)
        assert lost.seen[0]["data"]["outcome"] == "resync"
        resync = await lost.next()
        assert (resync["type"], resync["data"]["reason"], resync["data"]["sources"]) == ("resync", "epoch", None)
        await tenant.move(execution, number)
        assert progress([await lost.next()]) == [number]
        await lost.close()


async def test_more_than_is_worth_replaying_is_a_resync(tight: Site, transport: str) -> None:
    tenant = await tight.tenant()
    execution = await tenant.begin()
    client = await tight.joined(transport, tenant)
    await tenant.move(execution, 1)
    await client.until("execution-updated")
    await client.close()
    for number in (2, 3, 4):
        await tenant.move(execution, number)
    enough = await tight.joined(transport, tenant, since=client.cursor)
    assert enough.seen[0]["data"]["outcome"] == "replayed"
    await tenant.move(execution, 5)
    too_much = await tight.joined(transport, tenant, since=client.cursor)
    assert too_much.seen[0]["data"]["outcome"] == "resync"
    assert (await too_much.next())["data"]["reason"] == "too-much"


async def test_nothing_is_lost_or_repeated_over_a_crash_of_the_server(own: Site, transport: str) -> None:
    first = await own.start()
    tenant = await own.tenant()
    execution = await tenant.begin()
    client = await own.joined(transport, tenant)
    for number in range(1, 6):
        await tenant.move(execution, number)
    await client.until("execution-updated", progress=5)
    first.kill()
    for number in range(6, 11):
        await tenant.move(execution, number)
    second = await own.start()
    back = await own.joined(transport, tenant, second.url, since=client.cursor)
    assert back.seen[0]["data"]["outcome"] == "replayed"
    await tenant.move(execution, 11)
    await back.until("execution-updated", progress=11)
    events = [*client.events, *back.events]
    # Whoever comes without a place may also see what was written a moment before.
    events = [message for message in events if message["type"] == "execution-updated"]
    assert progress(events) == list(range(1, 12))
    assert len({message["id"] for message in events}) == 11


async def test_a_place_from_one_process_is_good_in_another(shared: Site, transport: str) -> None:
    processes = shared.services.running
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client, events = await shared.joined(transport, tenant), list[Message]()
    for number in range(1, 9):
        await tenant.move(execution, number)
        events.append(await client.until("execution-updated"))
        await client.close()
        await tenant.move(execution, -number)
        # Whoever leads is ahead of whoever follows, so every other time the place is from the other's future.
        client = await shared.joined(transport, tenant, processes[number % 2].url, since=client.cursor)
        assert client.seen[0]["data"]["outcome"] == "replayed"
        events.append(await client.next())
    assert progress(events) == [signed for number in range(1, 9) for signed in (number, -number)]
    assert len({message["id"] for message in events}) == len(events)


async def test_what_was_missed_comes_before_what_is_live_and_in_order(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client = await shared.joined(transport, tenant)
    await tenant.move(execution, -1)
    await client.until("execution-updated", progress=-1)
    await client.close()

    async def write() -> None:
        for number in range(1, 301):
            await tenant.move(execution, number)

    writing = asyncio.create_task(write())
    received: list[Message] = []
    for upto in (20, 100, 300):
        # The first two break off, wherever they have got to.
        client = await shared.joined(transport, tenant, since=client.cursor)
        while len(received) < upto:
            message = await client.next()
            received += [message] if "id" in message else []
        if upto < 300:
            await client.close()
            # What came after the last place that it was told comes once more.
            while received and "cursor" not in received[-1]:
                received.pop()
    await writing
    assert progress(received) == list(range(1, 301))


async def test_state_mode_sends_the_newest_of_each_row_and_says_how_many_it_replaced(
    shared: Site, transport: str
) -> None:
    tenant = await shared.tenant()
    execution, other = await tenant.begin(), await tenant.begin()
    client = await shared.joined(transport, tenant, mode="state")
    conflated = asyncio.create_task(client.until("conflated"))

    async def write() -> None:
        async with shared.app.transaction():
            for number in range(1, 6):
                await tenant.move(execution, number)
                await tenant.move(other, number)

    await repeat_until(conflated, write)
    # Of ten the newest two are left; where all were written once more before they were taken, those are replaced as well.
    assert conflated.result()["data"]["count"] in (8, 10)
    newest = [await client.next(), await client.next()]
    assert {message["data"]["execution_id"] for message in newest} == {execution, other}
    assert progress(newest) == [5, 5]


async def test_state_mode_replays_the_newest_of_each_row(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    execution, other = await tenant.begin(), await tenant.begin()
    client = await shared.joined(transport, tenant)
    await tenant.move(other, 5)
    await client.until("execution-updated", progress=5)
    await client.close()
    for number in (1, 2, 3):
        await tenant.move(execution, number)
        await tenant.move(other, 10 * number)
    back = await shared.joined(transport, tenant, since=client.cursor, mode="state")
    assert back.seen[0]["data"]["outcome"] == "replayed"
    assert (await back.next())["data"] == {"count": 4}
    assert progress([await back.next(), await back.next()]) == [3, 30]


async def test_min_interval_gathers_what_comes_too_fast(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    execution = await tenant.begin()
    client = await shared.joined(transport, tenant, mode="state", min_interval=400)
    conflated = asyncio.create_task(client.until("conflated"))
    numbers = iter(range(1, 10_000))

    async def write() -> None:
        # Each in a transaction of its own, so that without an interval each would be sent alone.
        await tenant.move(execution, next(numbers))

    await repeat_until(conflated, write)
    assert conflated.result()["data"]["count"] >= 1


async def test_a_table_without_a_type_has_its_rows_and_says_when_to_refetch(shared: Site, transport: str) -> None:
    tenant, other = await shared.tenant(), await shared.tenant()
    insert = "insert into note (id, writer, body) select n, $1, 'old' from generate_series(1, $2::int) as n"

    topic = "rows:public.note"
    asking = await shared.joined(transport, tenant, topics=topic)
    usual, stranger = await shared.joined(transport, tenant), await shared.joined(transport, other)
    assert asking.seen[0]["data"]["topics"] == [topic]
    assert topic in usual.seen[0]["data"]["topics"]

    await shared.app.execute(insert, tenant.id, 1)
    await shared.app.execute("update note set body = 'new'")
    await shared.app.execute("delete from note")
    await shared.app.execute(insert, tenant.id, 10)
    await shared.app.execute("truncate note")

    for client in (asking, usual):
        await client.until("rows-changed", reason="truncate")
        changes = [m["data"] for m in client.events if m["type"] == "row-changed"]
        assert [change["op"] for change in changes] == ["insert", "update", "delete", *["insert"] * 3]
        assert changes[1] == {
            "source": "public.note",
            "op": "update",
            "key": {"id": 1},
            "row": {"id": 1, "writer": str(tenant.id), "body": "new"},
            "before": {"body": "old"},
        }
        assert [m["data"]["reason"] for m in client.events if m["type"] == "rows-changed"] == ["bulk", "truncate"]
    # Whose rows they were is said to nobody else, but everybody may have to refetch.
    await stranger.until("rows-changed", reason="truncate")
    assert {message["type"] for message in stranger.events} == {"rows-changed"}
