"""What somebody may see, and how a connection ends: one suite over every transport."""

import asyncio
import signal

import pytest

from tests.api.scenarios import advice, assert_ended
from tests.support.database import Databases, alembic
from tests.support.service import services
from tests.support.site import Site, site
from tests.support.subscribers import TRANSPORTS

pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


async def test_a_subscription_to_some_topics_gets_no_others(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    client = await shared.joined(transport, tenant, topics="agent-tasks")
    assert client.seen[0]["data"]["topics"] == ["agent-tasks"]
    execution = await tenant.begin()
    task = await tenant.task(execution)
    await client.until("agent-task-update", task_id=task)
    assert {message["type"] for message in client.events} == {"agent-task-update"}


async def test_a_typed_table_has_its_rows_on_request(shared: Site, transport: str) -> None:
    tenant = await shared.tenant()
    client = await shared.joined(transport, tenant, topics="rows:public.workflow_execution")
    execution = await tenant.begin()
    message = await client.until("row-changed", op="insert")
    assert message["data"]["key"] == {"id": execution}
    assert message["data"]["row"]["status"] == "running"


@pytest.mark.parametrize(
    ("topics", "error"),
    [
        ("agent-tasks,nope", "topic-unknown"),
        ("rows:public.connector", "topic-unknown"),
        ("system-metrics", "topic-forbidden"),
        ("executions,cost-analytics", "topic-forbidden"),
    ],
)
async def test_a_topic_that_is_not_there_or_not_for_everybody_is_refused(
    shared: Site, transport: str, topics: str, error: str
) -> None:
    tenant = await shared.tenant()
    client = shared.client(transport, tenant, topics=topics)
    assert_ended(error, await client.refusal(), transport)


async def test_a_quiet_users_place_moves_on(tight: Site, transport: str) -> None:
    quiet, busy = await tight.tenant(), await tight.tenant()
    client = await tight.joined(transport, quiet)
    if transport == "longpoll":
        client.wait = "0.3"
    first = client.cursor
    await busy.begin()
    while client.cursor == first:
        assert (await client.next())["type"] == "heartbeat"
    back = await tight.joined(transport, quiet, since=client.cursor)
    assert back.seen[0]["data"]["outcome"] == "fresh"


async def test_an_expiring_token_is_announced_and_an_expired_one_ends_the_connection(
    tight: Site, transport: str
) -> None:
    tenant = await tight.tenant()
    client = await tight.joined(transport, tenant.token(seconds=2))
    if transport == "longpoll":
        # A poll is over before long, and the next one is refused.
        client.wait = "0.3"
    else:
        expiring = await client.next()
        assert expiring["type"] == "token-expiring"
        assert expiring["data"]["expires_at"] == client.seen[0]["data"]["token_expires_at"]
    assert_ended("token-expired", await client.end(), transport)
    assert client.kinds.count("token-expiring") == (0 if transport == "longpoll" else 1)
    again = tight.client(transport, tenant.token(seconds=-1))
    assert_ended("token-expired", await again.refusal(), transport)


async def test_a_kick_ends_the_users_connections_in_every_process_and_refuses_older_tokens(
    shared: Site, transport: str
) -> None:
    processes = shared.services.running
    tenant, other = await shared.tenant(), await shared.tenant()
    old = tenant.token()
    clients = [await shared.joined(transport, old, process.url) for process in processes for _ in range(2)]
    bystander = await shared.joined(transport, other)
    await shared.feed.execute("select changefeed.kick($1)", str(tenant.id))
    for client in clients:
        end = await client.end()
        assert client.events == []
        # Where no poll was under way, the next one is refused.
        assert_ended(
            "token-revoked" if end.error == "token-revoked" and transport == "longpoll" else "kicked", end, transport
        )
    for process in processes:
        again = shared.client(transport, old, process.url)
        assert_ended("token-revoked", await again.refusal(), transport)
    now = await shared.feed.fetchval("select extract(epoch from clock_timestamp())::int + 5")
    await shared.joined(transport, tenant.token(iat=now))
    await other.begin()
    await bystander.until("execution-started")


@pytest.mark.parametrize("broken", ["triggers", "schema"])
async def test_nobody_is_let_in_where_capture_is_not_confirmed_until_it_is(
    embedded: Databases, transport: str, broken: str
) -> None:
    async with embedded.clone(migrated=broken == "triggers") as database:
        with services(database.feed_dsn) as running:
            async with site(database, running) as found:
                if broken == "triggers":
                    await found.app.execute("alter table workflow_execution disable trigger user")
                process = await running.begin(ready_timeout=0.2).listening()
                problem = (await process.readiness(503)).json()
                assert problem["code"] == "not-ready"
                tenant = await found.tenant()
                early = found.client(transport, tenant)
                assert_ended("not-ready", await early.refusal(), transport)
                answer = await process.readiness(503)
                assert ("triggers" if broken == "triggers" else "changefeed migrate") in answer.json()["detail"]

                if broken == "triggers":
                    await found.app.execute("alter table workflow_execution enable trigger user")
                else:
                    await alembic(database.feed_dsn, "upgrade", "head")
                await process.readiness(200)
                client = await found.joined(transport, tenant)
                execution = await tenant.begin()
                await client.until("execution-started", execution_id=execution)


async def test_a_server_that_goes_says_so_first_and_then_goes(own: Site, transport: str) -> None:
    process = await own.start(drain_delay=2, drain_timeout=1)
    tenant = await own.tenant()
    clients = [await own.joined(transport, tenant) for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    problem = (await process.readiness(503)).json()
    assert problem["reasons"] == ["the server is going away"]
    # For as long as nobody is sent away everybody is served, also whoever comes only now.
    clients.append(await own.joined(transport, tenant))
    execution = await tenant.begin()
    for client in clients:
        await client.until("execution-started", execution_id=execution)
    for end in await asyncio.gather(*(client.end() for client in clients)):
        assert_ended("restart", end, transport)
        if transport == "longpoll":
            assert end.headers is not None
            assert 0 <= int(end.headers["retry-after"]) <= 1
    for client in clients if transport != "longpoll" else ():
        assert 0 <= advice(client)["after_ms"] < 1000
    await process.ended()


async def test_an_organisations_rows_come_to_its_members_and_to_nobody_of_the_same_name(
    tight: Site, transport: str
) -> None:
    tenant, other = await tight.tenant(), await tight.tenant()
    members = [await tight.joined(transport, who.token(org="acme")) for who in (tenant, other)]
    same_name = await tight.joined(transport, other.token(org="else", sub="acme"))
    await tight.app.execute("insert into memo values (1, 'acme')")
    for member in members:
        message = await member.until("row-changed")
        assert message["user_id"] == "acme"
    await tight.app.execute("truncate memo")
    await same_name.until("rows-changed")
    assert [message["type"] for message in same_name.events] == ["rows-changed"]
